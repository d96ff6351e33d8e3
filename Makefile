# Two commands: `make demo` installs and trains on embedded data, `make test` installs and runs the tests.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
# Asked only where pip's own settings don't lead to the CPU build of torch.
PYTORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: demo test lint generated install clean

demo: install
	$(BIN)/recsys generate --output data/demo --rows 200000
	$(BIN)/recsys train configs/demo.yaml --nproc 2 --overwrite
	@echo
	@echo "To see the run in MLflow: $(BIN)/mlflow ui --backend-store-uri sqlite:///mlflow.db   (then open http://127.0.0.1:5000)"

test: install
	$(BIN)/pytest -m "not slow and not slurm and not hosts" -n 2 --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What is generated: the schema for editors, the reference at the README's end, the table of strategies.
generated: install
	$(BIN)/recsys config schema > configs/schema.json
	sed -i -n '1,/<!-- reference -->/p' README.md
	$(BIN)/recsys config reference >> README.md
	echo '<!-- /reference -->' >> README.md
	$(BIN)/python -m emtl.reference docs/emtl.md

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml requirements/cpu.txt requirements/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-deps torch==2.13.0+cpu || $(BIN)/pip install --quiet --no-deps torch==2.13.0+cpu --index-url $(PYTORCH_CPU_INDEX)
	$(BIN)/pip install --quiet -r requirements/cpu.txt -c requirements/constraints.txt
	touch $@

clean:
	rm -rf $(VENV) data/demo runs/demo
