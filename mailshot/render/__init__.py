"""From a template and a customer's values to the bytes of one mail. Knows neither the store nor the network.

    source    the files of a template, identified by a hash of their content
    template  compile once, render per customer
    compose   a delivery becomes a complete message: values, links, headers, bytes

`compiler` reads in this order: `lexer` and `flatten` make one text of a template's files, `document` holds it with the
edits to make in it, `attributes` and `links` check its tags, `inline_css` adds the styles (with `html_tree`,
`style_sheet`, `selectors` and `cascade`), `plain_text` derives the text, `lint` warns. `filters` has the filters that
templates may use. Untrusted templates are compiled in a process of their own (`compile_process`).
"""
