"""From a template and a customer's values to the bytes of one mail. Knows neither the store nor the network.

    source    the files of a template, identified by a hash of their content
    template  compile once, render per customer
    compose   a delivery becomes a complete message: values, links, headers, bytes

`filters` has the filters that templates may use. Everything else serves these: `lexer`, `flatten`, `placeholders`,
`inline_css`, `links`, `variables`, `sandbox`, `budget`, `instrument`, `plain_text`, `headers`, `mime`, `lint`.
Untrusted templates are compiled in a process of their own (`compile_process`).
"""
