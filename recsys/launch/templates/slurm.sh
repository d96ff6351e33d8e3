#!/bin/bash
{{ directives }}

set -e
{% for name, value in variables.items() %}
export {{ name }}={{ value }}
{% endfor %}
export FOLDER={{ folder }} NOTES={{ folder }}/slurm{% block element %}{% endblock +%}

# What is known of the job once Slurm has forgotten it.
note() { echo "$(date +%s) $SLURM_JOB_ID ${SLURM_RESTART_COUNT:-0} $*" >> "$NOTES.log"; }
code=1
trap 'note ended "$code"' EXIT
note started
rm -f "$NOTES.stopped"
{% for line in setup %}
{{ line }}
{% endfor %}

{% block command %}{% endblock %}

# Runs on each machine. Slurm signals this shell before the time limit and on preemption. It tells the command to stop, which saves a
# checkpoint, and ends well, because srun would kill the other machines' processes otherwise.
task() {
  local child code stopping=
{% block machine %}{% endblock %}
  trap 'stopping=1; kill -TERM "$child" 2>/dev/null' TERM USR1
  "$@" &
  child=$!
  [ -z "$stopping" ] || kill -TERM "$child"
  while kill -0 "$child" 2>/dev/null; do wait "$child"; done
  wait "$child"
  code=$?
  if [ -n "$stopping" ] && [ "$code" != 0 ]; then
    [ "$SLURM_NODEID" != 0 ] || : > "$NOTES.stopped"
    exit 0
  fi
  exit "$code"
}

code=143 # where Slurm ends this script
srun --export=ALL --mpi=none --cpus-per-task="$SLURM_CPUS_PER_TASK" --kill-on-bad-exit=1{% for option in inside %} {{ option }}{% endfor %} \
  bash -c "$(declare -f task); task \"\$@\"" task "${command[@]}" && code=0 || code=$?

if [ -e "$NOTES.stopped" ]; then
  code=75
  note ended "$code"
  trap - EXIT
  if [ "${SLURM_RESTART_COUNT:-0}" -lt {{ requeues }} ]; then
    # Slurm ends this script, and starts it again from the beginning.
    scontrol requeue "{% block id %}$SLURM_JOB_ID{% endblock %}" && sleep 60
  fi
  echo "stopped and not requeued; the next start goes on from the last checkpoint" >&2
fi
exit "$code"
