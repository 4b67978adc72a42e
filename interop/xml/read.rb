# Reads an XML answer of the 2FA API with REXML, and prints what it holds as JSON.
require "json"
require "net/http"
require "rexml/document"

answer = REXML::Document.new(Net::HTTP.get(URI.parse(ARGV[0])))
messages = answer.root.elements["messages"]

puts JSON.generate(
  "root" => answer.root.name,
  "count" => messages.attributes["count"],
  "messages" => messages.get_elements("message").map do |message|
    message.elements.to_h { |field| [field.name, field.text.to_s] }
  end
)
