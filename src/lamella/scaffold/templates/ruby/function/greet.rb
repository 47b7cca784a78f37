require 'greetings' # from the layer

def handler(event:, context:)
  { greeting: Greetings.greet(event['name'], event.fetch('language', 'en')), layer: Greetings::PATH }
end
