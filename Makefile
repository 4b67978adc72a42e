# `make run` to try it, `make test` to prove it. Both install nothing but what they name.

DATA ?= data
LISTEN ?= 127.0.0.1:8080
# How long `make fuzz` looks for what breaks a promise.
FUZZ_S ?= 20

.PHONY: run test check setup unit fuzz interop bench bench-gateways bench-calls

run: ## Build and start on the embedded store, with the sandbox network and a demo account.
	-sh interop/setup.sh voice
	cargo build --release --bin countersign
	./target/release/countersign serve --sandbox --demo-account --data $(DATA) --listen $(LISTEN)

test: check unit fuzz interop ## Everything that must pass.

check: ## Formatting, lints, licences.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	command -v cargo-deny >/dev/null || cargo install cargo-deny --locked --quiet
	cargo deny --log-level error check bans licenses sources

setup: ## What others wrote and the tests call: installed once, looked for every time.
	sh interop/setup.sh

unit: setup ## The engine, the store, the doors over the real binary, restarts, calls to real phones.
	cargo test --workspace --no-fail-fast

fuzz: setup ## The SMPP codec and session on any octets, for a while, beginning with the saved corpus.
	command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked --quiet
	mkdir -p target/fuzz/corpus
	cd crates/smpp && CARGO_TARGET_DIR=../../target/fuzz RUSTC_BOOTSTRAP=1 cargo fuzz run exercise \
		--sanitizer none ../../target/fuzz/corpus corpus -- -max_total_time=$(FUZZ_S) -max_len=4096

interop: setup ## What others wrote, against the real binary: SDKs and the vendors' own samples.
	cargo build --bin countersign
	python3 interop/run.py target/debug/countersign

bench: ## Full flows, next to the limit of this machine; see bench/README.md.
	cargo build --release --bin countersign --bin bench
	./target/release/bench flows

bench-gateways: ## Messages through SMPP with receipts and webhooks, next to Kannel (Debian's package).
	cargo build --release --bin countersign --bin bench
	./target/release/bench gateways

bench-calls: setup ## Many calls at once, against sipp.
	cargo run --release --package voice --example load -- 200 500 1000
