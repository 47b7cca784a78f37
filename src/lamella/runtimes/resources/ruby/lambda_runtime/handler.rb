# frozen_string_literal: true

# The method that a function's handler setting names: FILE.METHOD or FILE.CLASS.METHOD.
#
# The name is AWS's: it is in the messages of errors that a file's methods make.
class LambdaHandler
  def initialize(name)
    parts = name.split('.')
    unless [2, 3].include?(parts.size)
      raise ArgumentError, "Invalid handler #{name}, must be of form FILENAME.METHOD or FILENAME.CLASS.METHOD where " \
                           'FILENAME corresponds with an existing Ruby source file FILENAME.rb, CLASS is an optional ' \
                           'module/class namespace and METHOD is a callable method. If using CLASS, METHOD must be a ' \
                           'class-level method.'
    end
    @file = parts.first
    @owner = parts.size == 3 ? parts[1] : nil
    @method = parts.last
  end

  def load_function
    require @file
  end

  # The response and its content type; none stands for JSON.
  def call_handler(request)
    event = AwsLambda::Marshaller.marshall_request(request)
    receiver = @owner ? Kernel.const_get(@owner) : self
    # The methods of a file without a class are private ones of every object.
    answer = receiver.__send__(@method, event: event, context: LambdaContext.new(request))
    AwsLambda::Marshaller.marshall_response(answer)
  rescue NameError # and NoMethodError: a mistake in the code, after which AWS's client does not go on
    raise LambdaRuntime::Fatal
  rescue StandardError
    raise LambdaRuntime::Recoverable
  end
end
