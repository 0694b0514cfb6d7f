<?php
// PHP's own SoapServer over our WSDL. Reads a JSON object per line, answers with one: what was called, with which
// arguments, and the reply that PHP made of the result it was told to give. A fault ends PHP: then the fault itself is
// the last thing it prints.

function packed($value, $outermost = true)
{
    // As Magento wraps results for WS-I: lists in complexObjectArray, everything in objects.
    if (is_array($value)) {
        $list = array_is_list($value);
        $value = array_map(fn ($one) => packed($one, false), $value);
        $value = $list ? (object) ($value ? ['complexObjectArray' => $value] : []) : (object) $value;
    }
    return $outermost ? (object) ['result' => $value] : $value;
}

function text($value)
{
    // Bytes that are not UTF-8 travel as {"base64": ...}.
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
    $asked = json_decode($line, true);
    $handler = new Handler();
    $result = text($asked['result']);
    $handler->result = $flavour === 'wsi' ? packed($result) : $result;
    $server = new SoapServer($wsdl, ['cache_wsdl' => WSDL_CACHE_NONE]);
    $server->setObject($handler);
    ob_start();
    $server->handle(base64_decode($asked['body']));
    $reply = base64_encode(ob_get_clean());
    echo json_encode(['called' => $handler->called, 'arguments' => $handler->arguments, 'reply' => $reply]), "\n";
    flush();
}
