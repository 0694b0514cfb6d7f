<?php
// PHP's own SoapServer over our WSDL. Reads one JSON object per line, and answers with one: the called method, its
// arguments, and PHP's reply for the given result. A fault ends PHP; then the fault itself is its last output.

function wrapped($value, $outermost = true)
{
    // As Magento wraps results for WS-I: lists in complexObjectArray, everything in objects.
    if (is_array($value)) {
        $list = array_is_list($value);
        $value = array_map(fn ($item) => wrapped($item, false), $value);
        $value = $list ? (object) ($value ? ['complexObjectArray' => $value] : []) : (object) $value;
    }
    return $outermost ? (object) ['result' => $value] : $value;
}

function text($value)
{
    // Bytes that are not UTF-8 are sent as {"base64": ...}.
    if (is_array($value)) {
        return array_keys($value) === ['base64'] ? base64_decode($value['base64']) : array_map('text', $value);
    }
    return $value;
}

class Handler
{
    public $called = null;
    public $arguments = null;
    public $result = null;

    public function __call($name, $arguments)
    {
        [$this->called, $this->arguments] = [$name, $arguments];
        return $this->result;
    }
}

[, $wsdl, $flavour] = $argv;
while (($line = fgets(STDIN)) !== false) {
    $request = json_decode($line, true);
    $handler = new Handler();
    $result = text($request['result']);
    $handler->result = $flavour === 'wsi' ? wrapped($result) : $result;
    $server = new SoapServer($wsdl, ['cache_wsdl' => WSDL_CACHE_NONE]);
    $server->setObject($handler);
    ob_start();
    $server->handle(base64_decode($request['body']));
    $reply = base64_encode(ob_get_clean());
    echo json_encode(['called' => $handler->called, 'arguments' => $handler->arguments, 'reply' => $reply]), "\n";
    flush();
}
