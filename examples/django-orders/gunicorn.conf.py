"""gunicorn, which reads this file from the working directory by itself.

Runs as any user on a read-only root filesystem; only /tmp must be writable.
"""

import os

from config import faults

wsgi_app = "config.wsgi:application"
bind = f"0.0.0.0:{os.environ.get('PORT', '8000')}"

# Two processes, four threads each: at most 8 database connections a replica.
workers = faults.workers(int(os.environ.get("WEB_CONCURRENCY", "2")))
threads = int(os.environ.get("WEB_THREADS", "4"))
worker_class = "gthread"

# On SIGTERM: stop accepting, finish what runs, then end. Below the 30 s that
# Kubernetes and Docker allow before they kill.
graceful_timeout = 20
timeout = 30
keepalive = 15

# The workers' heartbeat file, in memory: on a slow disk it stalls them.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
control_socket_disable = True

accesslog = "-"
errorlog = "-"
# The path without its query, and no headers: nothing secret can get in.
access_log_format = '%(t)s %(h)s "%(m)s %(U)s" %(s)s %(B)s %(D)sus'


def on_starting(server):
    """Nothing, unless a fault is played. The declared database is never migrated from here: N replicas would race."""
    faults.start()
