//! Where a counterparty of the gateways listens: on a thread of its own, beside the load.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// Serves every connection to a free port, for as long as the process lives.
///
/// # Errors
/// There is no port or no thread.
pub(super) fn listen<F>(
    name: &str,
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> std::io::Result<SocketAddr>
where
    F: Future<Output = std::io::Result<()>> + 'static,
{
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, accept(listener, serve))
    })?;
    Ok(address)
}

async fn accept<F>(
    listener: std::net::TcpListener,
    serve: impl Fn(TcpStream) -> F,
) -> std::io::Result<()>
where
    F: Future<Output = std::io::Result<()>> + 'static,
{
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        // A connection that breaks has nobody to tell.
        tokio::task::spawn_local(serve(stream));
    }
}
