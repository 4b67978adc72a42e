# The 2FA guide's receiver in Ruby: a bare socket that reads one line and answers half a line.
require "socket"
require "uri"

$stdout.sync = true

def handle(path)
  params = URI.decode_www_form(path).to_h
  if params["status"].nil? || params["messageId"].nil?
    puts "no receipt"
  else
    puts "receipt " + params["messageId"] + " " + params["status"]
  end
end

server = TCPServer.new("127.0.0.1", Integer(ENV["PORT"]))
puts "listening"
loop do
  socket = server.accept
  _method, path = socket.gets.split
  handle(path)
  # Neither the end of the line nor of the headers is sent, and the request's rest is never read.
  socket.print "HTTP/1.1 200 OK"
  socket.close
end
