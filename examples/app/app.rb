# A Vecmark client that needs only Ruby's standard library.
require "json"
require "net/http"

SERVICE = ENV.fetch("VECMARK_URL", "http://127.0.0.1:8000").chomp("/")
COLLECTION = ENV.fetch("VECMARK_COLLECTION", "example")
WAIT_S = Float(ENV.fetch("VECMARK_WAIT_S", "60"))
FAULTS = [SystemCallError, SocketError, IOError, Timeout::Error, Net::ProtocolError].freeze

def send_request(path, body = nil, timeout: 60)
  uri = URI(SERVICE + path)
  request = (body ? Net::HTTP::Post : Net::HTTP::Get).new(uri, "Content-Type" => "application/json")
  request.body = JSON.generate(body) if body
  options = { use_ssl: uri.scheme == "https", open_timeout: 5, read_timeout: timeout }
  Net::HTTP.start(uri.host, uri.port, **options) { |http| http.request(request) }
end

# POST if there is a body, otherwise GET. Returns the parsed JSON and the response.
def call(path, body = nil)
  response = send_request(path, body)
  return [JSON.parse(response.body), response] if response.is_a?(Net::HTTPSuccess)

  abort "#{SERVICE}#{path} answered #{response.code}: #{response.body}"
rescue *FAULTS, JSON::ParserError => error
  abort "#{SERVICE}#{path} gave no readable answer: #{error.message}"
end

def problem
  response = send_request("/healthcheck", timeout: 5)
  "it answers #{response.code}: #{response.body}" unless response.is_a?(Net::HTTPSuccess)
rescue *FAULTS => error
  error.message
end

def wait_until_healthy
  deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + WAIT_S
  last = nil
  while (reason = problem)
    if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
      abort "#{SERVICE} is not ready after #{WAIT_S.round} s: #{reason}"
    end
    warn "Waiting for #{SERVICE}: #{reason}" if reason != last
    last = reason
    sleep 0.5
  end
end

$stdout.sync = true
wait_until_healthy
puts "#{SERVICE} is ready."

vector, answer = call("/embed", { text: "A newt lives in ponds." })
first = vector.first(3).map { |number| format("%.4f", number) }.join(", ")
puts "#{vector.length} numbers: #{first}, ..."
puts "space #{answer["X-Vecmark-Space"]}"

documents = [
  { id: "newt", text: "A newt is a small salamander that lives in ponds." },
  { id: "violin", text: "A violin has four strings and is played with a bow." },
  { id: "bread", text: "Bread is baked from a dough of flour, water and yeast." }
]
call("/v1/collections", { name: COLLECTION })
indexed, = call("/v1/collections/#{COLLECTION}/documents", { documents: documents })
indexed["results"].each { |result| puts "#{result["id"]}: #{result["status"]}" }

query = URI.encode_www_form(q: "an animal that swims", limit: 2)
searched, = call("/v1/collections/#{COLLECTION}/search?#{query}")
searched["results"].each do |result|
  puts format("%.3f  %s  %s", result["score"], result["id"], result["chunk"]["text"])
end
