from flagctl.main import run

run()
