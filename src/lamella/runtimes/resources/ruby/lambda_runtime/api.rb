# frozen_string_literal: true

module LambdaRuntime
  # The Runtime API, over one connection that is kept.
  class Api
    class Error < StandardError; end

    BASE = '/2018-06-01/runtime'
    KEPT_S = 10**9 # the other side closes no connection, however long the environment is frozen
    CAUSE_MOST_BYTES = 1024 * 1024

    def initialize(address)
      host, port = address.split(':')
      @http = Net::HTTP.new(host, Integer(port), nil) # no proxy, whatever the function's variables say
      @http.read_timeout = nil
      @http.keep_alive_timeout = KEPT_S
      @http.max_retries = 0 # an event that was half received must not be asked for as if it were another
    end

    # The next event, as the answer it came in. Waits for as long as it takes.
    def next
      response = send_request(Net::HTTP::Get.new("#{BASE}/invocation/next", headers))
      raise Error, "status #{response.code} to the question for the next event" unless response.is_a?(Net::HTTPSuccess)

      response
    end

    def response(id, body, content_type)
      body = body.read if body.respond_to?(:read)
      post("/invocation/#{id}/response", body, 'Content-Type' => content_type)
    end

    def error(id, failure)
      cause = failure.xray_cause
      extra = cause.bytesize < CAUSE_MOST_BYTES ? { 'Lambda-Runtime-Function-XRay-Error-Cause' => cause } : {}
      post_failure("/invocation/#{id}/error", failure, extra)
    end

    def init_error(failure)
      post_failure('/init/error', failure, {})
    end

    private

    def post_failure(path, failure, extra)
      extra = extra.merge('Lambda-Runtime-Function-Error-Type' => failure.reported_type)
      post(path, JSON.generate(failure.to_h), 'Content-Type' => 'application/vnd.aws.lambda.error+json', **extra)
    end

    def post(path, body, extra)
      request = Net::HTTP::Post.new("#{BASE}#{path}", headers.merge(extra))
      request.body = body
      send_request(request)
    end

    def headers
      { 'User-Agent' => "lamella-ruby/#{RUBY_VERSION}" }
    end

    def send_request(request)
      @http.start unless @http.started?
      @http.request(request)
    rescue StandardError => e
      raise Error, e.message
    end
  end
end
