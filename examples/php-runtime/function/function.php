<?php
// {"numbers": [3, 1, 2]} -> {"sorted": [1, 2, 3], "sum": 6, "php": "8.2.29"}
function handler(array $event): array
{
    $numbers = $event['numbers'] ?? throw new InvalidArgumentException('The event has no numbers');
    error_log('Sorting ' . count($numbers) . ' numbers'); // into the log
    sort($numbers);
    return ['sorted' => $numbers, 'sum' => array_sum($numbers), 'php' => PHP_VERSION];
}
