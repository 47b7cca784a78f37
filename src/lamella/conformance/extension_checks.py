"""What is looked at in extensions: the rows of `lamella extension verify`."""

from typing import Final

from lamella.conformance.checks import Check, CheckTable, Weight

EXTENSION_CHECKS: Final = CheckTable(
    [
        # What is there to be started
        Check(
            "files",
            "EX-01",
            "Every file in the folder extensions is an extension, and there are at most ten.",
            "Whatever lies directly in /opt/extensions is started; one file that cannot be fails every init, and with "
            "more than ten of them, those of all layers together, no init succeeds (EX-05).",
            "Move what is no extension, such as a README or a library, to a folder of its own below extensions, or "
            "elsewhere in the layer.",
        ),
        Check(
            "starts",
            "EX-03",
            "It can be started in the runtimes that it is for.",
            "A file that cannot be executed fails the init with Extension.LaunchError, and every invocation with it.",
            "Permission denied: set the x bit, and zip on Unix. No such file or directory: the interpreter of the "
            "first line is not in the runtime, or the line ends with a carriage return; an extension in a script needs "
            "an interpreter, from the runtime or a layer. Exec format error: build it for the function's architecture.",
        ),
        Check(
            "every-runtime",
            "EX-03",
            "It can be started in every runtime of this server.",
            "Extensions are shared by functions of many runtimes. A script runs only where its interpreter is: OS-only "
            "runtimes (provided.*) have bash, and neither Python nor Node.js.",
            "Build it as a static program, or declare the runtimes that it is for as the layer's compatible runtimes.",
            Weight.ADVICE,
        ),
        Check(
            "modules",
            "EN-10",
            "Every module that it imports is there.",
            "It dies at the import, and with it every init. The runtimes of AWS have few packages beside the standard "
            "library; requests is not among them.",
            "Put the package into the layer, beside the extension and not where functions find it, or use the standard "
            "library (urllib.request, http.client).",
        ),
        Check(
            "variables",
            "EN-02",
            "It works with the variables that extensions have.",
            "Extensions get fewer variables than the runtime: no _HANDLER, LAMBDA_TASK_ROOT, AWS_EXECUTION_ENV, log "
            "group and stream, nothing of X-Ray.",
            "Take the function's name, version and handler from the answer to the registration, its ARN from INVOKE.",
        ),
        # Init
        Check(
            "registers",
            "EX-10",
            "It registers, before the init has used up its time.",
            "The runtime is started when the last extension has registered. Until then nothing happens, and after ten "
            "seconds the environment is reset.",
            "Register first: POST /2020-01-01/extension/register, then prepare whatever takes time.",
        ),
        Check(
            "file-name",
            "EX-12",
            "It registers under the name of its file.",
            "Any other name is that of an internal extension, which may not ask for SHUTDOWN; the external one is "
            "waited for until the init times out.",
            "Send the file's own name as Lambda-Extension-Name: os.path.basename(__file__), path.basename(argv[1]), "
            "${0##*/}; so it stays right when the file is renamed.",
        ),
        Check(
            "register-request",
            "EX-16",
            "What it asks for when it registers is accepted.",
            "A refused registration leaves the extension without an identifier, and the init without an end.",
            'Send {"events": ["INVOKE", "SHUTDOWN"]}, or fewer of them, or none; no configurationKeys.',
        ),
        Check(
            "initialised",
            "EX-32",
            "It asks for its first event.",
            "That call says that it is ready. An extension that follows no event has to make it, too: init is complete "
            "when all of them have.",
            "Call GET /2020-01-01/extension/event/next when everything is prepared, whatever you have registered for.",
        ),
        Check(
            "start-time",
            "EX-60",
            "It is ready within three seconds.",
            "All that an extension does before its first call for an event is part of every cold start.",
            "Do less before the first call: load lazily, connect at the first use, prefer a compiled program.",
            Weight.ADVICE,
        ),
        # Calls
        Check(
            "identifier",
            "EX-37",
            "Every call carries the identifier.",
            "Calls without it, or with another's, are refused with 403.",
            "Keep the header Lambda-Extension-Identifier of the answer to the registration, and send it every time.",
        ),
        Check(
            "one-next",
            "EX-36",
            "It has one call for the next event at a time.",
            "A second one is refused with 403: while one waits there is nothing to ask for.",
            "Make the call from one thread, and only after the event before has been dealt with.",
        ),
        Check(
            "waits",
            "EX-30",
            "It waits for the next event as long as it takes.",
            "The call blocks while an invocation runs, up to 15 minutes, and as long as nobody invokes. A client that "
            "gives up asks twice, or ends, and the end of an extension fails the invocation.",
            "Set no timeout on that call: requests and Go have none; httpx has 5 seconds, reqwest's blocking client "
            "30, undici 300.",
        ),
        Check(
            "wait-limit",
            "EX-30",
            "It would wait for ever.",
            "A limit of a minute is not seen in a test, and ends the extension in the first quiet hour.",
            "Set no timeout on the call for the next event. Each other call should have one.",
        ),
        Check(
            "idle",
            "EX-34",
            "It does nothing while it waits.",
            "While an invocation runs, what an extension uses the function lacks: they share one processor.",
            "Block in the call for the next event; wake up for telemetry and timers only.",
            Weight.ADVICE,
        ),
        Check(
            "calm",
            "EX-40",
            "It does not call again and again when it is refused.",
            "A loop of refused calls takes the processor from the function.",
            "Treat a refusal as the end: say why with POST exit/error, and exit.",
            Weight.ADVICE,
        ),
        Check(
            "says-why",
            "EX-50",
            "When it ends by itself it has said why.",
            "The end of an extension is Extension.Crash to the caller, and nobody knows what it was.",
            "Before you exit, POST /2020-01-01/extension/init/error (before the first event) or exit/error, with the "
            "header Lambda-Extension-Function-Error-Type.",
            Weight.ADVICE,
        ),
        # Invocations
        Check(
            "asks-again",
            "EX-33",
            "After an INVOKE it asks for the next event.",
            "Until every extension that follows INVOKE has asked again, the environment takes no further invocation, "
            "and the function's timeout runs, although the caller has had its answer.",
            "Hand what takes long to another thread, bound every call that you make, and ask for the next event.",
        ),
        Check(
            "stays",
            "EX-65",
            "It does not end while there is no SHUTDOWN.",
            "The end of an extension, with exit code 0 as well, fails the running invocation with Extension.Crash.",
            "Loop until SHUTDOWN; catch what may fail on the way, such as a backend that does not answer.",
        ),
        Check(
            "tracing",
            "EX-30",
            "It takes an INVOKE without tracing.",
            "The member tracing is left out when there is no trace id.",
            "Treat it as optional.",
        ),
        Check(
            "unknown-event",
            "EX-30",
            "Events and members that it does not know do it no harm.",
            "AWS adds members to events, and may add events.",
            "Ignore what you do not know, and ask for the next event.",
            Weight.ADVICE,
        ),
        Check(
            "thaw",
            "EX-33",
            "It goes on after the environment was frozen.",
            "Between invocations no process runs; timers and connections are old at the thaw, and the INVOKE is there "
            "in the same moment.",
            "Expect connections to be closed and clocks to have jumped: try again with a new connection.",
        ),
        # The end
        Check(
            "ends",
            "EX-82",
            "It is done within two seconds of SHUTDOWN.",
            "What still runs then is killed, and what it has not sent is lost. Extensions get no SIGTERM.",
            "At SHUTDOWN send what is left, bounded by deadlineMs, and exit.",
        ),
        Check(
            "exits",
            "EX-82",
            "At SHUTDOWN it exits, and does not ask for another event.",
            "There is no other event: it is killed when the two seconds are over, and what is to run at its exit does "
            "not.",
            "Leave the loop and exit. AWS's Rust client asks again: call std::process::exit when all is sent.",
            Weight.ADVICE,
        ),
        Check(
            "early-end",
            "EX-82",
            "A SHUTDOWN as its first event ends it, too.",
            "An environment may end without an invocation: after a failed init or a timeout, or unused.",
            "Handle SHUTDOWN in the same loop as INVOKE; expect nothing to have happened before.",
            Weight.ADVICE,
        ),
        Check(
            "starts-again",
            "EX-73",
            "It starts again beside what it has left in /tmp.",
            "After a timeout all processes are killed and started again in the same sandbox; /tmp stays as it was.",
            "Overwrite PID files and locks of your own, and unlink a Unix socket before you bind it.",
        ),
        Check(
            "container-error",
            "EX-40",
            "It ends when the platform is out of order.",
            "Status 500 means that the state cannot be recovered: AWS asks extensions to exit promptly.",
            "Exit when event/next is answered 500, and do not try again.",
            Weight.ADVICE,
        ),
        # Telemetry
        Check(
            "telemetry-subscribes",
            "TL-01",
            "What is there for telemetry subscribes to it.",
            "Nothing comes to who has not subscribed: no log line, no report, however long it waits.",
            "PUT /2022-07-01/telemetry with the identifier, after registering and before the first event/next. If it "
            "is not there for telemetry, say so with --no-telemetry.",
        ),
        Check(
            "telemetry-request",
            "TL-02",
            "What it asks for when it subscribes is accepted.",
            "A refused subscription brings nothing.",
            "schemaVersion 2022-12-13; types out of platform, function, extension; maxItems 1000 to 10000, maxBytes "
            "262144 to 1048576, timeoutMs 25 to 30000; destination http://sandbox.localdomain:PORT, not 9001.",
        ),
        Check(
            "telemetry-in-time",
            "TL-04",
            "It subscribes before its first event.",
            "Subscriptions are closed when the init is complete.",
            "Subscribe between the registration and the first event/next.",
        ),
        Check(
            "telemetry-listens",
            "TL-09",
            "Its listener can be reached where it said.",
            "Batches that cannot be delivered are tried again until they are dropped.",
            "Listen before you subscribe, at sandbox.localdomain or 0.0.0.0: the platform is not at 127.0.0.1.",
        ),
        Check(
            "telemetry-answers",
            "TL-23",
            "It answers batches with 200.",
            "Whatever is not answered with 2xx is sent again, first at once and then ever more slowly.",
            "Queue the batch, answer 200, and work on it afterwards.",
        ),
        Check(
            "telemetry-keeps-up",
            "TL-25",
            "It keeps up with a burst of log lines.",
            "What a slow listener leaves is dropped, and platform.logsDropped tells of it; a busy one delays "
            "invocations.",
            "Answer at once and parse later, in a thread of its own; bound the queue.",
        ),
        Check(
            "telemetry-echo",
            "TL-28",
            "It does not print about what it is sent while it takes the lines of extensions.",
            "Each line that it prints comes back as telemetry, about which it prints: a loop without end.",
            "Leave extension out of types, or print nothing for a batch.",
        ),
        Check(
            "telemetry-unknown",
            "TL-23",
            "Records that it does not know do it no harm.",
            "AWS adds types and members of records. A reader that is strict loses the whole batch, or never gets past "
            "it.",
            "Ignore what you do not know, record by record, and answer 200.",
            Weight.ADVICE,
        ),
        Check(
            "telemetry-refused",
            "TL-03",
            "Without telemetry it goes on, or says why it does not.",
            "A platform may have none to give, as local emulators do. An extension that waits for it stops the init.",
            "Look at the status of the answer: go on without, or POST init/error and exit.",
            Weight.ADVICE,
        ),
        Check(
            "ships-early",
            "EX-33",
            "What it has taken is sent on while there are invocations, and not only at the end.",
            "The end has two seconds, and comes hours later or, when the machine is lost, not at all.",
            "At each INVOKE send what the invocations before it have left.",
            Weight.ADVICE,
        ),
        Check(
            "ships",
            "EX-83",
            "All that it has taken is sent on by the end of the shutdown.",
            "After SHUTDOWN there is no other chance: what is still in memory is lost.",
            "Send what has been gathered at INVOKE, and the rest at SHUTDOWN, before you exit.",
        ),
    ]
)
