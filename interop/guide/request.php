<?php
// The 2FA guide's request in PHP: a GET through curl with everything in the query.
$url = 'http://' . getenv('REST_HOST') . ':' . getenv('REST_PORT') . '/sc/us/2fa/json?'
    . http_build_query([
        'api_key' => getenv('API_KEY'),
        'api_secret' => getenv('API_SECRET'),
        'to' => '441632960960',
        'pin' => getenv('PIN'),
    ]);
$curl = curl_init($url);
curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
$answer = json_decode(curl_exec($curl), true);

foreach ($answer['messages'] as $message) {
    if ($message['status'] == 0) {
        echo "sent {$message['message-id']}\n";
    } else {
        echo "refused {$message['status']} {$message['error-text']}\n";
    }
}
