# frozen_string_literal: true

module LambdaRuntime
  # What `puts` and loggers write: whole records through the platform's log channel, which keeps lines of one record
  # together, with the id of the request.
  module Logs
    # A log device of framed records: what the record is, its length, its time, its text.
    class Channel < Logger::LogDevice
      MARK = 0xa55a0000
      TEXT = 0b11
      JSON_TEXT = 0b10
      LEVELS = { 'DEBUG' => 2, 'INFO' => 3, 'WARN' => 4, 'ERROR' => 5, 'FATAL' => 6 }.freeze

      def initialize(file) # rubocop:disable Lint/MissingSuper -- no file of its own is opened
        @file = file
        @lock = Mutex.new
      end

      # What a logger writes it has put into form just now, in the same thread.
      def write(message)
        severity, Thread.current[:lambda_severity] = Thread.current[:lambda_severity], nil
        put(message.to_s, LEVELS.fetch(severity, 0), severity && Logs.json? ? JSON_TEXT : TEXT)
      end

      def put(text, level, form)
        time_us = Process.clock_gettime(Process::CLOCK_REALTIME, :microsecond)
        frame = [MARK | (level << 2) | form, text.bytesize, time_us].pack('NNQ>') << text.b
        @lock.synchronize { @file.write(frame) }
      end

      def reopen(_log = nil)
        self
      end

      def close; end
    end

    # As AWS's client prints a record: Ruby's own form with the request's id.
    class TextFormatter < Logger::Formatter
      def call(severity, time, progname, message)
        Thread.current[:lambda_severity] = severity
        format("%<initial>s, [%<time>s #%<pid>d] %<severity>5s %<id>s -- %<progname>s: %<text>s\n",
               initial: severity[0], time: format_datetime(time), pid: Process.pid, severity: severity,
               id: $_global_aws_request_id, progname: progname, text: Logs.utf8(msg2str(message)))
      end
    end

    # The same for functions whose log format is JSON.
    class JsonFormatter < Logger::Formatter
      def call(severity, time, progname, message)
        Thread.current[:lambda_severity] = severity
        record = { timestamp: time.utc.strftime('%Y-%m-%dT%H:%M:%S.%6NZ'), level: severity,
                   message: Logs.utf8(message.is_a?(Exception) ? message.message : msg2str(message)),
                   requestId: $_global_aws_request_id }
        record[:logger] = Logs.utf8(progname) unless progname.to_s.empty?
        record.merge!(of_exception(message)) if message.is_a?(Exception)
        "#{JSON.generate(record.compact)}\n"
      end

      private

      def of_exception(error)
        trace = Array(error.backtrace).map { |line| Logs.utf8(line) }
        { errorType: error.class.to_s, errorMessage: Logs.utf8(error.message), stackTrace: trace,
          location: trace.first&.sub(/\A(.+):(\d+):in [`'](.+)'\z/, '\1:\3:\2') }
      end
    end

    # Loggers of standard output and error get the channel, the form and the level that the function's settings want.
    module Patch
      def initialize(logdev, *arguments, **options)
        if logdev.nil? || logdev == $stdout || logdev == $stderr
          logdev = Logs.channel || logdev || $stdout
          options[:formatter] ||= Logs.json? ? JsonFormatter.new : TextFormatter.new
          options[:level] ||= Logs.level if Logs.json?
        end
        super
      end
    end

    LEVELS = { 'TRACE' => 'DEBUG', 'CRITICAL' => 'FATAL' }.freeze

    class << self
      attr_reader :channel

      # descriptor is the number of the channel, nil if there is none: then all goes to standard output as it is.
      def install(descriptor)
        Logger.prepend(Patch)
        return if descriptor.nil?

        file = IO.for_fd(Integer(descriptor), 'wb')
        file.sync = true
        file.close_on_exec = true
        @channel = Channel.new(file)
        Kernel.module_eval do
          def puts(*arguments)
            LambdaRuntime::Logs.channel.write(arguments.flatten.map { |one| LambdaRuntime::Logs.utf8(one) }.join("\n"))
          end
        end
      rescue SystemCallError
        @channel = nil
      end

      def json?
        ENV['AWS_LAMBDA_LOG_FORMAT'] == 'JSON'
      end

      def level
        level = ENV.fetch('AWS_LAMBDA_LOG_LEVEL', 'INFO').upcase
        LEVELS.fetch(level, level)
      end

      def utf8(value)
        value.to_s.encode(Encoding::UTF_8, invalid: :replace, undef: :replace)
      end
    end
  end
end
