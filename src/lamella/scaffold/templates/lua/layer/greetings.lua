-- What functions with this layer share.
local words = { de = "Hallo", en = "Hello", es = "Hola", fr = "Bonjour" }
local greetings = { path = debug.getinfo(1, "S").source:sub(2) }

function greetings.greet(name, language)
  local word = words[language] or error("there is no greeting in " .. language, 0)
  return word .. ", " .. name .. "!"
end

return greetings
