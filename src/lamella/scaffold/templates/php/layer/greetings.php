<?php
// What functions with this layer share.
const WORDS = ['de' => 'Hallo', 'en' => 'Hello', 'es' => 'Hola', 'fr' => 'Bonjour'];

function greet(string $name, string $language): string
{
    $word = WORDS[$language] ?? throw new DomainException("there is no greeting in $language");
    return "$word, $name!";
}
