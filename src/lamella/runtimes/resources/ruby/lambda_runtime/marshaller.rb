# frozen_string_literal: true

module AwsLambda
  # What becomes of events and responses. Functions and gems replace these methods, which are AWS's in name and use.
  class Marshaller
    class << self
      # The event that a handler gets: what is called JSON is parsed, all else is text.
      def marshall_request(raw_request)
        raw_request['Content-Type'] == 'application/json' ? JSON.parse(raw_request.body) : raw_request.body
      end

      # A response as text, or as something to be read with a content type.
      def marshall_response(method_response)
        case method_response
        when StringIO, IO then [method_response, 'application/unknown']
        else method_response.to_json
        end
      end
    end
  end
end
