"""The checks of runtimes. Ids of rules are those of docs/reference/conformance.md."""

from typing import Final

from lamella.conformance.checks import Check, CheckTable, Weight

_ADVICE: Final = Weight.ADVICE

RUNTIME_CHECKS: Final = CheckTable(
    (
        # How it starts
        Check(
            "start-program",
            "EN-22",
            "There is a program to start, and it can be executed.",
            "Every invocation fails with Runtime.InvalidEntrypoint.",
            "Put an executable named `bootstrap` at the root of the archive (mode 755), built for the function's "
            "architecture, with line ends of Unix.",
        ),
        Check(
            "start-interpreter",
            "EN-22",
            "The interpreter that its first line names is there.",
            "OS-only runtimes (provided.*) have a shell and no other interpreter: the runtime does not start, and "
            "every invocation fails.",
            "Bring the interpreter along: in /opt/bin of a layer, where `#!/usr/bin/env` finds it.",
        ),
        Check(
            "start-modules",
            "EN-10",
            "All that it imports when it starts is there.",
            "AWS's runtimes bring their standard library and the AWS SDK only, OS-only runtimes nothing: the runtime "
            "ends with an import error before it asks for its first event.",
            "Vendor the package beside the bootstrap, or do without it: HTTP is in every standard library.",
        ),
        Check(
            "start-code",
            "EN-23",
            "It looks for the handler's code in $LAMBDA_TASK_ROOT, wherever its own files are.",
            "The runtime's files are in /opt if it comes as a layer. A language that looks beside the running program "
            "never finds the function there.",
            "Add $LAMBDA_TASK_ROOT to the search path before the handler is loaded: in Python "
            "`sys.path.insert(0, os.environ['LAMBDA_TASK_ROOT'])`.",
        ),
        Check(
            "start-ready",
            "RT-64",
            "It asks for its first event within ten seconds, or says why not.",
            "The init phase runs into its timeout, is done a second time within the invocation, and is paid for.",
            "Call `invocation/next` as soon as the handler is loaded; report failures to `init/error`.",
        ),
        # A handler that cannot be loaded
        Check(
            "init-error-post",
            "RT-62",
            "A handler that cannot be loaded is reported to `init/error`.",
            "The invoker sees `Runtime.ExitError` and an exit status, never why.",
            "Catch what loading the handler raises, POST it to `/2018-06-01/runtime/init/error`, then exit with a "
            "status other than 0.",
        ),
        Check(
            "init-error-body",
            "RT-61",
            "The report is a JSON object with `errorMessage` and `errorType`.",
            "The invoker gets the body as it is, and its client finds no message in it.",
            'Send `{"errorMessage": …, "errorType": …, "stackTrace": […]}`, made by a JSON library.',
        ),
        Check(
            "init-error-end",
            "RT-62",
            "It ends after `init/error`.",
            "Every further call is refused with 403; a runtime that stays holds up the second try until the timeout.",
            "Exit with a status other than 0 once `init/error` has been answered.",
        ),
        # Events and answers
        Check(
            "event-intact",
            "RT-30",
            "Events reach the handler, and results the invoker, as they are: nesting, all letters, numbers.",
            "Functions compute with other data than they were sent.",
            "Decode and encode JSON as UTF-8 with a library; put nothing around the result.",
        ),
        Check(
            "null-result",
            "RT-30",
            "Results that are empty or false (null, false, 0, an empty text) are results.",
            "Without an answer the same event comes again until the timeout.",
            "Post the result whatever it is; do not test whether there is one.",
        ),
        Check(
            "response-id",
            "RT-31",
            "Each answer names the request id of its own event.",
            "It is refused with 400 InvalidRequestID, and the invocation times out.",
            "Take `Lambda-Runtime-Aws-Request-Id` from the answer to each `next`, and put it into the path.",
        ),
        Check(
            "response-each",
            "RT-22",
            "Each event is answered before the next one is asked for.",
            "`next` gives the same event again: the handler runs again and again until the timeout.",
            "Post either a `response` or an `error` on every way through the loop.",
        ),
        Check(
            "response-once",
            "RT-32",
            "Each event is answered once.",
            "The second answer is refused with 403; the first stays, even if the second is the right one.",
            "Post to `error` only if nothing was posted to `response`.",
        ),
        Check(
            "next-again",
            "RT-39",
            "It asks for the next event soon after it has answered.",
            "The environment takes no further invocation until then, and the function's timeout goes on running.",
            "Call `invocation/next` at once after the answer; leave nothing waiting in between.",
        ),
        Check(
            "large-event",
            "RT-21",
            "Events of 6 MiB arrive whole.",
            "AWS lets invokers send that much.",
            "Read the whole body as `Content-Length` says; pass it on by a pipe or a file, not as an argument.",
        ),
        Check(
            "large-response",
            "RT-34",
            "Responses of 6 MB leave whole.",
            "AWS takes that much.",
            "Send the body from memory, a pipe or a file; one argument of a program may have 128 KiB only.",
        ),
        Check(
            "empty-event",
            "RT-21",
            "It survives an event without a body.",
            "AWS makes `{}` of it; other implementations of the API hand it on. Then one invoker ends the environment, "
            "and all others wait for a new one.",
            "Parse the event where failures are reported to `error`.",
            _ADVICE,
        ),
        Check(
            "text-event",
            "RT-21",
            "It survives an event that is not JSON.",
            "AWS refuses to invoke with it, and its own client for Node.js 24 ends over it; other implementations of "
            "the API hand it on. Then one invoker ends the environment, and all others wait for a new one.",
            "Parse the event where failures are reported to `error`.",
            _ADVICE,
        ),
        Check(
            "binary-event",
            "RT-21",
            "It survives an event that is not text.",
            "AWS refuses to invoke with it, and its own client for Node.js 24 ends over it; other implementations of "
            "the API hand it on. Then one invoker ends the environment, and all others wait for a new one.",
            "Decode and parse the event where failures are reported to `error`.",
            _ADVICE,
        ),
        # Headers of an event
        Check(
            "header-trace",
            "RT-21",
            "It works without the header `Lambda-Runtime-Trace-Id`.",
            "Not every environment sends it; the loop ends, and with it the environment.",
            "Treat the header as optional: remove `_X_AMZN_TRACE_ID` if it is not there.",
        ),
        Check(
            "header-optional",
            "RT-21",
            "It works with the request id and the content type as the only headers.",
            "Other implementations of the API leave out what they do not know.",
            "Read headers with a default.",
            _ADVICE,
        ),
        Check(
            "header-all",
            "RT-21",
            "It works with every header there can be, and with ones that it does not know.",
            "Client context, Cognito identity and tenant id come with some invocations only, and AWS adds headers.",
            "Ignore what you do not know; do not parse more than you need.",
        ),
        Check(
            "header-case",
            "RT-04",
            "Header names count whatever their letters' case.",
            "HTTP/1.1 leaves the case to the sender, and proxies change it.",
            "Look headers up in a case-insensitive way: `grep -i`, or a header type of the HTTP library.",
        ),
        Check(
            "trace-variable",
            "EN-01",
            "`_X_AMZN_TRACE_ID` is set for each event.",
            "The X-Ray SDK cannot tell which trace its segments belong to.",
            "Set the variable from `Lambda-Runtime-Trace-Id` before the handler is called.",
            _ADVICE,
        ),
        Check(
            "trace-cleared",
            "EN-01",
            "`_X_AMZN_TRACE_ID` does not outlive its event.",
            "Segments of one invocation appear in the trace of another.",
            "Remove the variable when the header is not there.",
            _ADVICE,
        ),
        Check(
            "context",
            "RT-21",
            "The handler's context has the request id and the function's ARN, by the names of AWS's own runtimes.",
            "Handlers and libraries that are written for Lambda look for `aws_request_id` and the like as attributes.",
            "Make the context an object with the documented names, from the headers and the environment.",
        ),
        Check(
            "context-deadline",
            "RT-21",
            "The context tells how much time is left, from `Lambda-Runtime-Deadline-Ms`.",
            "Functions cannot end in good order before the timeout.",
            "Subtract the clock from the header at each call; do not count from the start.",
        ),
        Check(
            "log-output",
            "LG-09",
            "What the handler prints for the log gets to stdout or stderr, and not into the response.",
            "Lines are lost, or the invoker gets them.",
            "Leave the handler its stdout and stderr, and flush them after each event.",
        ),
        # Errors of the handler
        Check(
            "error-post",
            "RT-50",
            "What the handler raises is posted to `error`.",
            "A failure looks like a success, or the environment ends.",
            "Catch everything that the handler raises, and POST it to `/invocation/<id>/error`.",
        ),
        Check(
            "error-body",
            "RT-52",
            "An error is a JSON object with `errorMessage` and `errorType`, whatever the message holds.",
            "The invoker gets the body as it is; quotes and line ends in a message break JSON that was put together by "
            "hand.",
            'Send `{"errorMessage": …, "errorType": …, "stackTrace": […]}`, made by a JSON library.',
        ),
        Check(
            "error-type",
            "RT-51",
            "An error has the header `Lambda-Runtime-Function-Error-Type`, of the form `Function.Reason`.",
            "Metrics and telemetry show `Runtime.Unknown`.",
            "Send the header with a type that begins with `Function.` or `Runtime.`.",
            _ADVICE,
        ),
        Check(
            "error-next",
            "RT-50",
            "It goes on after an error of the handler.",
            "Each failure costs a cold start.",
            "Ask for the next event; exit only if the runtime itself cannot go on.",
        ),
        # Answers that are no good news
        Check(
            "refused-size",
            "RT-34",
            "A response that was refused with 413 is not sent again.",
            "The loop goes on until the timeout.",
            "Look at the status of the answer; go on with `next`, or exit.",
        ),
        Check(
            "refused-late",
            "RT-33",
            "A response that was refused with 400, because its time is over, is not sent again.",
            "The loop goes on until the environment is ended.",
            "Look at the status of the answer; go on with `next`, or exit.",
        ),
        Check(
            "refused-state",
            "RT-32",
            "A response that was refused with 403 is not sent again.",
            "The loop goes on until the environment is ended.",
            "Look at the status of the answer; go on with `next`, or exit.",
        ),
        Check(
            "refused-next",
            "RT-23",
            "It ends when `next` is refused with 403, and does not take the refusal for an event.",
            "It would run its handler with an error document in a loop without end.",
            "Check that the status is 200; exit if not (`curl --fail`).",
        ),
        Check(
            "refused-fault",
            "RT-37",
            "It ends when `next` is answered with 500.",
            "The environment is beyond repair; AWS asks runtimes to exit promptly.",
            "Check that the status is 200; exit if not (`curl --fail`).",
        ),
        # Connections
        Check(
            "connection-close",
            "RT-02",
            "It goes on when the server closes a connection after an answer.",
            "AWS keeps connections open today; other implementations of the API and proxies need not.",
            "Heed `Connection: close`; connect again when a connection has ended.",
            _ADVICE,
        ),
        Check(
            "connection-reuse",
            "RT-02",
            "Connections are used again.",
            "Each event costs two connections more.",
            "Keep one HTTP client for the life of the process.",
            _ADVICE,
        ),
        Check(
            "connection-leak",
            "RT-02",
            "It does not gather open files or processes from event to event.",
            "After a thousand events it cannot open anything any more: 1,024 open files are all there are.",
            "Read answers to their end and close what they came from; wait for child processes.",
        ),
        Check(
            "chunked-event",
            "RT-21",
            "Events may come in chunks, without `Content-Length`.",
            "AWS sends the length today.",
            "Leave the framing to an HTTP library.",
            _ADVICE,
        ),
        # Waiting
        Check(
            "wait-patience",
            "RT-20",
            "It waits for `next` as long as it takes.",
            "Between two events may be hours. A client's read timeout ends the runtime, and the environment with it.",
            "Set no read timeout on `next`: many HTTP clients have one of 60 to 300 seconds unless told otherwise.",
        ),
        Check(
            "wait-limit",
            "RT-20",
            "Nothing limits how long it would wait for `next`.",
            "The limit goes on while the environment is frozen: the runtime gives up as soon as it is thawed.",
            "Set the read timeout of the HTTP client to none, not to its default of 60 or 300 seconds.",
        ),
        Check(
            "wait-calm",
            "RT-20",
            "It does nothing while it waits.",
            "Time of waiting within the init and invoke phases is paid for, and slows the extensions down.",
            "Block in the read; poll neither the socket nor the API in a loop.",
        ),
        Check(
            "freeze-thaw",
            "RT-20",
            "It goes on after it was frozen, although the clock has jumped.",
            "Between events AWS freezes the environment for up to hours. Timers that ran meanwhile all end at once.",
            "Let no timer run while `next` is pending; take times from the event's deadline.",
        ),
        # Streams
        Check(
            "stream-mode",
            "RT-40",
            "A streamed response says `Lambda-Runtime-Function-Response-Mode: streaming`, and comes in chunks.",
            "Any other value is refused with 400, and without chunks nothing arrives before the end.",
            "Send both headers, the value in small letters, and `Transfer-Encoding: chunked`.",
        ),
        Check(
            "stream-error",
            "RT-42",
            "A failure after the first bytes of a stream is told in the trailers.",
            "The invoker takes the half for the whole.",
            "Announce `Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body`, and send both "
            "after the last chunk, the body in base64.",
        ),
        # Its end
        Check(
            "end-sigterm",
            "EX-80",
            "SIGTERM ends it within 300 ms.",
            "It is killed then: what it wanted to finish is lost, and every shutdown takes as long as it can.",
            "Leave SIGTERM its default, or end within 300 ms in your handler; in shells `exec` the last program.",
        ),
    )
)
