local greetings = require("greetings") -- from the layer

local function handler(event, context)
  return { greeting = greetings.greet(event.name, event.language or "en"), layer = greetings.path }
end

return { handler = handler }
