<?php
require '/opt/greetings.php'; // from the layer

function handler(array $event): array
{
    $text = greet($event['name'], $event['language'] ?? 'en');
    return ['greeting' => $text, 'layer' => (new ReflectionFunction('greet'))->getFileName()];
}
