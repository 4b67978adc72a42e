<?php
// Reads an XML answer of the 2FA API with SimpleXML, and prints what it holds as JSON.
$answer = simplexml_load_string(file_get_contents($argv[1]));

$messages = [];
foreach ($answer->messages->message as $message) {
    $fields = [];
    foreach ($message->children() as $field) {
        $fields[$field->getName()] = (string) $field;
    }
    $messages[] = $fields;
}
echo json_encode([
    'root' => $answer->getName(),
    'count' => (string) $answer->messages['count'],
    'messages' => $messages,
]), "\n";
