-- The conformance kit's handler: does what events ask for, and gives back any other event as it is.
-- See docs/reference/verification.md.
local actions = { "actions", "echo", "error", "print", "size", "environment" }

local function handler(event)
  if type(event) ~= "table" or event.verify == nil then
    return event
  end
  if event.verify == "actions" then
    return actions
  elseif event.verify == "echo" then
    return event.value
  elseif event.verify == "error" then
    error(event.message, 0)
  elseif event.verify == "print" then
    io.stdout:write(event.text, "\n")
    io.stdout:flush()
  elseif event.verify == "size" then
    return ("x"):rep(event.bytes)
  elseif event.verify == "environment" then
    return os.getenv(event.name)
  end
  return nil
end

return { handler = handler }
