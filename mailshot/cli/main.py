"""The list of commands: their names, their order, and the module and function of each, imported when it is called."""

from __future__ import annotations

from mailshot.cli import lazy

RULES = {
    "diff": "rules_diff:diff",
    "watch": "rules_watch:watch",
    "explain": "explain:explain",
    "schema": "rules:schema",
    "test": "rules_test:run",
    "check": "rules:check",
    "values": "rules:values",
    "list": "rules:list_",
    "count": "rules:count",
}
SUPPRESSION = {
    "show": "suppression:show",
    "add": "suppression:add",
    "import": "suppression:import_",
    "lift": "suppression:lift",
    "export": "suppression:export",
}
CUSTOMER = {"export": "customer:export", "erase": "customer:erase"}
SIGN_UP = {"form": "sign_up:form"}
ARCHIVE = {"list": "archive:list_", "add": "archive:add", "remove": "archive:remove"}
MAILBOX = {
    "take": "mailbox:take",
    "status": "mailbox:status",
    "list": "mailbox:list_",
    "show": "mailbox:show",
    "read-again": "mailbox:read_again",
    "receive": "processes:receive",
}
DKIM = {"key": "dkim:make_key"}
DATABASE = {"upgrade": "database:upgrade", "scrub": "database:scrub", "version": "database:version"}
COMMANDS: dict[str, lazy.Place] = {
    "init": "init:init",
    "import": "imports:import_",
    "traits": "imports:traits",
    "plan": "campaigns:plan",
    "backtest": "backtest:backtest",
    "preview": "preview:preview",
    "send-test": "preview:send_test",
    "launch": "campaigns:launch",
    "pause": "campaigns:pause",
    "resume": "campaigns:resume",
    "cancel": "campaigns:cancel",
    "resolve": "campaigns:resolve",
    "status": "status:status",
    "report": "reports:report",
    "up": "processes:up",
    "web": "processes:web",
    "worker": "processes:worker",
    "clock": "processes:clock",
    "inbox": "processes:inbox",
    "doctor": "doctor:doctor",
    "dkim": lazy.group(DKIM, "Sign mails with DKIM."),
    "demo": "demo:demo",
    "archive": lazy.group(ARCHIVE, "List the public archive of mails, and choose what is in it."),
    "mailbox": lazy.group(MAILBOX, "Receive bounces, complaints and replies, and see what they changed."),
    "rules": lazy.group(RULES, "Check, test, count, compare and explain rules."),
    "suppression": lazy.group(SUPPRESSION, "Suppress addresses, look them up, and lift a suppression."),
    "signup": lazy.group(SIGN_UP, "Let visitors sign up for topics."),
    "customer": lazy.group(CUSTOMER, "Export or erase all data of one customer."),
    "audit": "audit:audit",
    "db": lazy.group(DATABASE, "Set up and upgrade the database."),
}
HELP = "Campaigns and personalised mail from rules, templates and purchase history."
cli = lazy.group(COMMANDS, HELP, name="mailshot")
