<?php
// The conformance kit's handler: does what events ask for, and gives back any other event as it is.
// See docs/reference/verification.md. What it is to log goes to stderr: some runtimes capture stdout as the result.

function handler($event, $context = null)
{
    if (!is_array($event) || !isset($event['verify'])) {
        return $event;
    }
    switch ($event['verify']) {
        case 'actions':
            return ['actions', 'error', 'print', 'size', 'environment'];
        case 'echo':
            return $event['value'];
        case 'error':
            throw new RuntimeException($event['message']);
        case 'print':
            fwrite(STDERR, $event['text'] . "\n");
            return 'null';
        case 'size':
            return str_repeat('x', $event['bytes']);
        case 'environment':
            return getenv($event['name']) === false ? 'null' : getenv($event['name']);
    }
    return 'null';
}
