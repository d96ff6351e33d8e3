{% extends "slurm.sh" %}
{% block element %}-$SLURM_ARRAY_TASK_ID{% endblock %}
{# The number of one element may be that of the whole array. #}
{% block id %}${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID{% endblock %}
{% block command %}
case "$SLURM_ARRAY_TASK_ID" in
{% for command in commands %}
  {{ loop.index0 }}) command=({{ command }}) ;;
{% endfor %}
esac
{% endblock %}
