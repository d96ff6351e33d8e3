{% extends "slurm.sh" %}
{% block command %}
export {{ engine_id }}=$SLURM_JOB_ID
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((SLURM_CPUS_PER_TASK > {{ nproc }} ? SLURM_CPUS_PER_TASK / {{ nproc }} : 1))}"
rm -f "$FOLDER"/error-*.json

# Where the cluster says that each machine is reached, in their order, and a port that is free on the first, which this is.
ADDRESSES=
for node in $(scontrol show hostnames "$SLURM_JOB_NODELIST"); do
  ADDRESSES+="$(scontrol --oneliner show node "$node" | sed -n 's/.* NodeAddr=\([^ ]*\).*/\1/p') "
done
export ADDRESSES
port=$((10000 + SLURM_JOB_ID % 20000))
while (: < "/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done

command=(
  {{ agent }}
  "--rdzv-id=$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0}" "--rdzv-endpoint=${ADDRESSES%% *}:$port"
  {{ worker }}
)
{% endblock %}
{% block machine %}
  local addresses
  read -r -a addresses <<< "$ADDRESSES"
  # Options of torchrun. Its own guess at who is first, and at this machine's address, fails where a machine has several.
  export PET_RDZV_CONF="is_host=$((SLURM_NODEID == 0))" PET_LOCAL_ADDR="${addresses[$SLURM_NODEID]}"
  export TORCHELASTIC_ERROR_FILE="$FOLDER/error-$SLURM_NODEID.json"
{% endblock %}
