# What the agent is tested with. Read by setup.sh and by the tests.
codex=0.171.0
node=22.23.3
conformance=0.1.16
inspector=2.12.0
python=2.3.0
typescript=1.32.2
