# What functions with this layer share.
module Greetings
  PATH = __FILE__
  WORDS = { 'de' => 'Hallo', 'en' => 'Hello', 'es' => 'Hola', 'fr' => 'Bonjour' }.freeze

  def self.greet(name, language)
    word = WORDS.fetch(language) { raise ArgumentError, "there is no greeting in #{language}" }
    "#{word}, #{name}!"
  end
end
