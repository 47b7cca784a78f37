# The conformance kit's handler: does what events ask for, and gives back any other event as it is.
# See docs/reference/verification.md.
VERIFY_ACTIONS = %w[actions echo error print size sleep environment context].freeze

def handler(event:, context:)
  return event unless event.is_a?(Hash) && event.key?('verify')

  case event['verify']
  when 'actions' then VERIFY_ACTIONS
  when 'echo' then event['value']
  when 'error' then raise event['message']
  when 'print'
    puts event['text']
    $stdout.flush
    nil
  when 'size' then 'x' * event['bytes']
  when 'sleep'
    sleep event['seconds']
    nil
  when 'environment' then ENV[event['name']]
  when 'context'
    {
      'aws_request_id' => context.aws_request_id,
      'invoked_function_arn' => context.invoked_function_arn,
      'remaining_ms' => context.get_remaining_time_in_millis
    }
  end
end
