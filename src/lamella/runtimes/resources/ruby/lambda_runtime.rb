# frozen_string_literal: true

# The runtime client of Lamella's Ruby runtimes. AWS's own, the gem aws_lambda_ric, is to be had from rubygems.org
# alone; this one was written to behave as that does where a function, its caller or its logs can tell the difference.

# Functions use these without requiring them, since AWS's client has them loaded.
require 'json'
require 'logger'
require 'net/http'
require 'stringio'

require_relative 'lambda_runtime/api'
require_relative 'lambda_runtime/context'
require_relative 'lambda_runtime/failure'
require_relative 'lambda_runtime/handler'
require_relative 'lambda_runtime/logs'
require_relative 'lambda_runtime/marshaller'

module LambdaRuntime
  # Exit statuses as AWS's client has them.
  INIT_FAILED = -4
  HANDLER_FAILED = -1
  RUNTIME_FAILED = -2

  # Loads the function, then answers one event after the other until the process is ended.
  class Loop
    def initialize(api, handler)
      @api = api
      @handler_name = handler
    end

    def run
      handler = load_function
      answer(handler) while true
    end

    private

    def load_function
      $LOAD_PATH.unshift(Dir.pwd) unless $LOAD_PATH.include?(Dir.pwd)
      LambdaHandler.new(@handler_name).tap(&:load_function)
    rescue Exception => e # rubocop:disable Lint/RescueException -- whatever the function's own code raises
      failure = Failure.new(e, 'Init')
      LambdaRuntime.log_failure("Init error when loading handler #{@handler_name}", failure)
      @api.init_error(failure)
      exit!(INIT_FAILED)
    end

    def answer(handler)
      request = next_request
      id = $_global_aws_request_id = request['Lambda-Runtime-Aws-Request-Id'] # AWS's name, which loggers look for
      trace = request['Lambda-Runtime-Trace-Id']
      trace.nil? ? ENV.delete('_X_AMZN_TRACE_ID') : ENV['_X_AMZN_TRACE_ID'] = trace
      respond(handler, request, id)
    end

    def respond(handler, request, id)
      body, content_type = handler.call_handler(request)
      @api.response(id, body, content_type || 'application/json')
    rescue Recoverable => e
      report(id, e.cause, 'Error raised from handler method')
    rescue Api::Error => e
      warn "The response could not be sent: #{e.message}"
      exit!(RUNTIME_FAILED)
    rescue Exception => e # rubocop:disable Lint/RescueException -- as above; after these AWS's client ends itself
      report(id, e.is_a?(Fatal) ? e.cause : e, 'Critical exception from handler')
      exit!(HANDLER_FAILED)
    end

    def report(id, error, message)
      failure = Failure.new(error, 'Function')
      LambdaRuntime.log_failure(message, failure)
      @api.error(id, failure)
    end

    def next_request
      @api.next
    rescue SignalException
      exit!(0)
    rescue Api::Error => e
      warn "No event could be had: #{e.message}"
      exit!(INIT_FAILED)
    end
  end

  def self.log_failure(message, failure)
    puts message
    puts JSON.pretty_generate(failure.to_h)
  end
end

$stdout.sync = true
LambdaRuntime::Logs.install(ENV.delete('_LAMBDA_TELEMETRY_LOG_FD'))
LambdaRuntime::Loop.new(LambdaRuntime::Api.new(ENV.fetch('AWS_LAMBDA_RUNTIME_API')), ARGV.fetch(0, '')).run
