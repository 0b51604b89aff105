"""From rules to delivery rows: plan, launch, pause, explain and compare. Nothing here sends mail.

Start at `plan.make_plan` (a dry run that records who gets which content and why others get none) and
`launch.launch_plan` (freezes the rules and templates, and creates one delivery per customer).

Words: a *plan* is the dry run; a *run* is one launch; a *snapshot* is the frozen text of all rules and templates of a
run; a *schedule* launches runs later.
"""
