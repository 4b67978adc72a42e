<?php
// The 2FA guide's receiver in PHP: query and form merged, and an empty answer.
$request = array_merge($_GET, $_POST);

if (!isset($request['messageId']) or !isset($request['status'])) {
    error_log('no receipt');
    return;
}
error_log("receipt {$request['messageId']} {$request['status']} {$request['msisdn']}");
