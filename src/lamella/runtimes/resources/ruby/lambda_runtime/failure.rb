# frozen_string_literal: true

module LambdaRuntime
  # After this error of a handler the function goes on with the next event; the handler's own is its cause.
  class Recoverable < StandardError; end

  # After this one it does not.
  class Fatal < StandardError; end

  # An error of the function's code, as it is reported.
  class Failure
    FRAMES = 100
    OWN = '/var/runtime/' # from here on a trace is this client's, which says nothing of the function
    # Other classes are not named outside the function's account.
    NAMED = %w[ArgumentError NoMethodError Exception StandardError NameError LoadError SystemExit SystemStackError].freeze

    # phase is 'Function' or 'Init', the first word of the type.
    def initialize(error, phase)
      @error = error
      @type = "#{phase}<#{error.class}>"
    end

    def to_h
      { errorMessage: text(@error.message), errorType: @type, stackTrace: frames.map { |frame| text(frame.to_s) } }
    end

    # The type for the platform's own records.
    def reported_type
      NAMED.include?(@error.class.to_s) ? @type : 'Function<UserException>'
    end

    # The same for X-Ray. Source: X-Ray developer guide, "xray-api-segmentdocuments", errors and exceptions.
    def xray_cause
      stack = frames.map { |frame| { path: text(frame.path.to_s), line: frame.lineno, label: text(frame.label.to_s) } }
      paths = stack.map { |frame| frame[:path] }.uniq
      exception = { type: @type, message: text(@error.message), stack: stack }
      JSON.generate({ working_directory: Dir.pwd, exceptions: [exception], paths: paths }, ascii_only: true)
    end

    private

    def frames
      (@error.backtrace_locations || []).first(FRAMES).take_while { |frame| !frame.path.to_s.start_with?(OWN) }
    end

    def text(value)
      value.to_s.dup.force_encoding(Encoding::UTF_8).scrub
    end
  end
end
