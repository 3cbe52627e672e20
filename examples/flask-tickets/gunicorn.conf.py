"""gunicorn, which reads this file from the working directory by itself.

Runs as any user on a read-only root filesystem; only /tmp must be writable.
"""

import os

import faults

wsgi_app = "wsgi:app"
bind = f"0.0.0.0:{os.environ.get('PORT', '8000')}"

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
