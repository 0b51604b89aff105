"""The languages in which Mailshot itself speaks to customers: on its pages and in the mails that they ask for.

Start at `language.choose`, which returns the `CustomerLanguage` of one customer. The texts stand in English in the page
templates and in Python, and in German, French and Spanish in the gettext catalogues (`de/LC_MESSAGES/mailshot.po`),
which `make texts` updates. To add a text, mark it by `{{ _("…") }}` or `{% trans %}` in a page, by `gettext("…")` in
Python, run `make texts`, and translate the new entries. The shop's own texts are translated in its YAML files
(`facts.localized_text`).
"""
