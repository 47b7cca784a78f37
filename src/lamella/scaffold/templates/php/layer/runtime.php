<?php
// The PHP runtime: polls the Runtime API, calls the handler, reports what it returned.

// `next` may wait for hours; an ordinary read would give up after a minute.
ini_set('default_socket_timeout', '-1');
ini_set('display_errors', 'stderr'); // into the log, not into the answer

class LambdaRuntime
{
    private string $api;
    private string $requestId = '';
    private string $payload = '';
    private string $response = '';

    public function __construct()
    {
        $this->api = 'http://' . getenv('AWS_LAMBDA_RUNTIME_API') . '/2018-06-01/runtime';
    }

    public function getHandler(): string
    {
        return getenv('_HANDLER');
    }

    /** Wait for the next event; an entry `error` says what is wrong with the answer. */
    public function getNextEventData(): array
    {
        [$status, $headers, $body] = $this->request('GET', '/invocation/next');
        if ($status !== 200 || !isset($headers['lambda-runtime-aws-request-id'])) {
            return ['error' => "the Runtime API answered $status: $body"];
        }
        $this->requestId = $headers['lambda-runtime-aws-request-id'];
        $traceId = $headers['lambda-runtime-trace-id'] ?? '';
        putenv($traceId === '' ? '_X_AMZN_TRACE_ID' : "_X_AMZN_TRACE_ID=$traceId");
        $this->payload = $body;
        $this->response = '';
        return ['id' => $this->requestId];
    }

    public function getEventPayload(): mixed
    {
        return json_decode($this->payload, true);
    }

    public function addToResponse(mixed $part): void
    {
        $this->response .= is_string($part) || $part === null ? $part : json_encode($part);
    }

    public function flushResponse(): void
    {
        $this->request('POST', "/invocation/{$this->requestId}/response", $this->response);
    }

    public function reportError(Throwable $error, bool $duringInit = false): void
    {
        $body = json_encode([
            'errorMessage' => $error->getMessage(),
            'errorType' => get_class($error),
            'stackTrace' => explode("\n", $error->getTraceAsString()),
        ]);
        // What metrics and telemetry call it: a reason, without a namespace.
        $type = 'Function.' . (new ReflectionClass($error))->getShortName();
        $path = $duringInit ? '/init/error' : "/invocation/{$this->requestId}/error";
        $this->request('POST', $path, $body, ["Lambda-Runtime-Function-Error-Type: $type"]);
    }

    private function request(string $method, string $path, ?string $body = null, array $headers = []): array
    {
        $options = ['method' => $method, 'protocol_version' => '1.1', 'ignore_errors' => true];
        $options['header'] = ['Connection: close', 'Content-Type: application/json', ...$headers];
        if ($body !== null) {
            $options['content'] = $body;
        }
        $answer = file_get_contents($this->api . $path, false, stream_context_create(['http' => $options]));
        $headers = [];
        foreach (array_slice($http_response_header ?? [], 1) as $line) {
            [$name, $value] = explode(':', $line, 2);
            $headers[strtolower($name)] = trim($value);
        }
        $status = (int) (explode(' ', $http_response_header[0] ?? 'HTTP/1.1 0')[1]);
        return [$status, $headers, (string) $answer];
    }
}

$lambdaRuntime = new LambdaRuntime();
$handler = $lambdaRuntime->getHandler();

//Extract file name and function
list($handlerFile, $handlerFunction) = explode(".", $handler);

//Include the handler file
try {
    if (!is_file("./$handlerFile.php")) {
        throw new RuntimeException("There is no $handlerFile.php in " . getcwd());
    }
    require "./$handlerFile.php";
    if (!function_exists($handlerFunction)) {
        throw new RuntimeException("There is no function $handlerFunction in $handlerFile.php");
    }
} catch (Throwable $error) {
    $lambdaRuntime->reportError($error, duringInit: true);
    exit(1);
}

//Poll for the next event to be processed
while (true) {

    //Get next event
    $data = $lambdaRuntime->getNextEventData();

    //Check if there was an error that runtime detected with the next event data
    if (isset($data["error"]) && $data["error"]) {
        fwrite(STDERR, $data["error"] . "\n");
        exit(1);
    }

    //Process the events
    $eventPayload = $lambdaRuntime->getEventPayload();
    //Handler is of format Filename.function
    //Capture stdout
    ob_start();
    try {
        //Execute handler
        $functionReturn = $handlerFunction($eventPayload);
        $out = ob_get_clean();
    } catch (Throwable $error) {
        ob_end_clean();
        $lambdaRuntime->reportError($error);
        continue;
    }
    //Report result
    $lambdaRuntime->addToResponse($out);
    $lambdaRuntime->addToResponse($functionReturn);
    $lambdaRuntime->flushResponse();
}
