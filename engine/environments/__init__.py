"""The Pythons that plugins run in: found, locked, built, kept and started from.

What is asked for       asking, wishlist (where it stands in files), reading (of plugins)
Who prepares it         service, builders (threads, each thing once), jobs, pending, making
How it is made          workshop; interpreters; backend with uv and pip, locktext, failures, hosts
How programs are held   running (the seam), enclosed, walls, child, lines; probing, modules
Where it is kept        intake, shelf, inventory, collecting; environment, runtime, listing
Who lives in which      lodging, home; shared (`.venv`), standing (a user's own folder)
Into a folder in place  installer, installation, requirements

`engine.triggers.provisioning` decides when triggers change over.
"""
