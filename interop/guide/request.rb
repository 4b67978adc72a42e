# The 2FA guide's request in Ruby: a form posted with the standard library.
require "json"
require "net/http"
require "uri"

uri = URI.parse("http://#{ENV["REST_HOST"]}:#{ENV["REST_PORT"]}/sc/us/2fa/json")
response = Net::HTTP.post_form(
  uri,
  "api_key" => ENV["API_KEY"],
  "api_secret" => ENV["API_SECRET"],
  "to" => "441632960960",
  "pin" => ENV["PIN"]
)

if response.kind_of?(Net::HTTPOK)
  JSON.parse(response.body)["messages"].each do |message|
    if message["status"] == "0"
      puts "sent " + message["message-id"]
    else
      puts "refused " + message["status"] + " " + message["error-text"]
    end
  end
else
  puts "unexpected " + response.code
end
