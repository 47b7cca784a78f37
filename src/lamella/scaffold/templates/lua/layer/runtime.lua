-- The Lua runtime: polls the Runtime API, calls the handler, reports what it returned.
local json = require("dkjson") -- which knows an empty list from an empty object
local http = require("socket.http")
local ltn12 = require("ltn12")

http.TIMEOUT = nil -- `next` may wait for hours
local api = "http://" .. os.getenv("AWS_LAMBDA_RUNTIME_API") .. "/2018-06-01/runtime"

local function request(method, path, body, headers)
  local answer = {}
  headers = headers or {}
  headers["content-type"] = "application/json"
  headers["content-length"] = body and #body or nil
  local sent, status, found = http.request({
    method = method,
    url = api .. path,
    headers = headers,
    source = body and ltn12.source.string(body) or nil,
    sink = ltn12.sink.table(answer),
  })
  assert(sent, "the Runtime API cannot be reached: " .. tostring(status))
  return status, table.concat(answer), found
end

local function report(path, problem)
  local message = type(problem) == "table" and problem.message or tostring(problem)
  local kind = type(problem) == "table" and problem.type or "Function.HandlerError"
  io.stderr:write(message, "\n") -- into the log
  local body = json.encode({ errorMessage = message, errorType = kind })
  request("POST", path, body, { ["lambda-runtime-function-error-type"] = kind })
end

-- A handler is `file.function`: the file returns a table with the function.
local file, name = os.getenv("_HANDLER"):match("^(.*)%.([^.]*)$")
local loaded, module = pcall(require, (file or ""):gsub("/", "."), nil)
local handler = loaded and type(module) == "table" and module[name]
if not handler then
  report("/init/error", loaded and "there is no function " .. tostring(name) .. " in " .. tostring(file) or module)
  os.exit(1)
end

while true do
  local status, event, headers = request("GET", "/invocation/next")
  if status ~= 200 then
    io.stderr:write("the Runtime API answered ", status, ": ", event, "\n")
    os.exit(1)
  end
  local id = headers["lambda-runtime-aws-request-id"]
  local context = {
    aws_request_id = id,
    deadline_ms = tonumber(headers["lambda-runtime-deadline-ms"]),
    invoked_function_arn = headers["lambda-runtime-invoked-function-arn"],
    trace_id = headers["lambda-runtime-trace-id"],
  }
  -- What is no JSON, a handler that fails, and an answer that cannot be encoded are function errors alike.
  local good, answer = pcall(function()
    local value, _, problem = json.decode(event, 1, json.null)
    if problem then
      error("the event is no JSON: " .. problem, 0)
    end
    return json.encode(handler(value, context))
  end)
  if good then
    request("POST", "/invocation/" .. id .. "/response", answer)
  else
    report("/invocation/" .. id .. "/error", answer)
  end
end
