# make book   sets up .venv, runs every notebook, builds the book into _build/html
# make test   sets up .venv, unit tests, nbval on every notebook, tests of the built book
# make pages  builds the pages again, from the chapters as they were executed last
# make pdf    prints the book, building it where it is not up to date, into _build/scorevid.pdf; needs chromium

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
# the kernel called python3 is that of .venv, whatever kernels the user has
export JUPYTER_PREFER_ENV_PATH := 1
# threads that wait sleep: spinning, they halve the speed wherever something else runs on the machine
export OMP_WAIT_POLICY := PASSIVE
export PYDEVD_DISABLE_FILE_VALIDATION := 1

NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
# the chapters that take longest, which begin first where chapters run side by side
LONGEST := notebooks/03_occlusion_sampling.ipynb notebooks/02_score_residual.ipynb
SOURCES := $(shell find scorevid book notebooks scripts $(wildcard benchmarks/results) -type f -not -path '*/__pycache__/*' -not -path '*/.ipynb_checkpoints/*') \
           _config.yml _toc.yml constraints.txt

.PHONY: book pages pdf test unit nbval steady notebooks picture peers sweep natural bench lint clean

# what the claims of this build measured, which its tables and numbers are made from; and the chapters as executed for it
MEASURED := SCOREVID_CLAIMS=$(CURDIR)/_build/claims
EXECUTED := $(CURDIR)/_build/chapters
# SCOREVID_REPOSITORY=https://github.com/OWNER/NAME adds buttons that open chapters from there on Binder and Colab
# a page that a faulty build leaves would look like a book that is up to date
BUILD := { $(MEASURED) SCOREVID_CHAPTERS=$(EXECUTED) $(BIN)/jupyter-book build -n -W --keep-going --builder html . || \
  { rm -f _build/html/index.html; false; }; }
# test files and chapters side by side, each on one thread; a test that hangs is ended, and where it hung is shown
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --durations 12 --timeout 900
NBVAL := $(PYTEST) --nbval-cell-timeout 600 --nbval $(LONGEST) $(filter-out $(LONGEST),$(NOTEBOOKS))

book: $(STAMP)
	rm -rf _build
	$(MEASURED) OMP_NUM_THREADS=1 $(BIN)/python scripts/run_chapters.py $(NOTEBOOKS) --out $(EXECUTED)
	$(BUILD)
	@echo "The book is at _build/html/index.html"

# the pages alone, after a change of prose outside of chapters, which stay as they were executed
pages: $(STAMP)
	@test -d $(EXECUTED) || { echo "no chapter has been executed yet: make book first" >&2; exit 1; }
	$(BUILD)

pdf: $(STAMP) _build/html/index.html
	$(BIN)/python scripts/print_book.py

# the tests of the book need one; it is not built again while nothing has changed
_build/html/index.html: $(STAMP) $(SOURCES)
	$(MAKE) book

# asked by a variable, so that make --dry-run tests nothing
UP_TO_DATE = $(MAKE) --question _build/html/index.html >/dev/null 2>&1

# where the book is not up to date, nbval's run of the chapters is the one that it shows; what fails does not keep the rest
# from being tested
test: $(STAMP)
	@failed=; set -x; \
	if $(UP_TO_DATE); then $(NBVAL) || failed=nbval; else \
	  rm -rf _build; \
	  $(MEASURED) PYTHONPATH=$(CURDIR)/scripts $(NBVAL) -p keep_executed --keep-executed $(EXECUTED) || failed=nbval; \
	  $(BUILD) || failed="$$failed book"; fi; \
	$(PYTEST) || failed="$$failed tests"; \
	set +x; test -z "$$failed" || { echo "failed: $$failed" >&2; exit 1; }

unit: $(STAMP)
	$(PYTEST) --ignore tests/book/test_book.py

nbval: $(STAMP)
	$(NBVAL)

# as people run them by hand, in one process: with one and two threads, on the instructions of another processor, and again
steady: $(STAMP)
	failed=; for how in "OMP_NUM_THREADS=2" "OMP_NUM_THREADS=1" "OMP_NUM_THREADS=2 ATEN_CPU_CAPABILITY=avx2"; do \
	  echo "== $$how"; env $$how $(BIN)/pytest -q --nbval notebooks/ || failed="$$failed, $$how"; done; \
	test -z "$$failed" || { echo "failed$$failed" >&2; exit 1; }

# run the notebooks in place and keep their outputs, which nbval compares to
notebooks: $(STAMP)
	for notebook in $(NOTEBOOKS); do $(BIN)/python -m nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.timeout=1200 $$notebook || exit; done

# the picture of the front page and the README, the small ones of its gallery, and the figures of the theory page
picture: $(STAMP)
	$(BIN)/python book/result.py
	$(BIN)/python book/drawings.py

# networks of other parameterisation on one backbone, each trained for the same processor time; an hour
peers: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m scorevid.studies.ablations --folder scorevid/denoisers/weights/peers --out runs/peers \
	  --minutes 14 --only blind edm flow
	OMP_NUM_THREADS=1 $(BIN)/python -m scorevid.studies.ablations --folder scorevid/denoisers/weights/peers --out runs/peers \
	  --minutes 5 --only regression

# the large comparisons behind chapter 3, whose parameters and results are stored in scorevid/studies/results; an hour
# and a half. SWEEP="-p n_scenes 50 -p n_published 50 -p folder $PWD/_sweeps" makes it a small one elsewhere
sweep: $(STAMP)
	mkdir -p _sweeps
	for name in training solvers constants slope; do $(BIN)/python -m papermill notebooks/sweeps/$$name.ipynb \
	  _sweeps/$$name.ipynb --cwd notebooks/sweeps $(SWEEP) || exit; done
	$(BIN)/python scripts/keep_sweeps.py _sweeps notebooks/sweeps

# what chapter 5 shows of DAVIS, which does not come along: make natural DAVIS=path; five minutes
natural: $(STAMP)
	test -n "$(DAVIS)" || { echo "say where DAVIS is: make natural DAVIS=path, a folder or an .npz file" >&2; exit 1; }
	mkdir -p _sweeps
	$(BIN)/python -m papermill notebooks/sweeps/natural.ipynb _sweeps/natural.ipynb --cwd notebooks/sweeps \
	  -p davis "$(abspath $(DAVIS))" $(SWEEP)

# speed, side by side, stored in benchmarks/results for book/speed.md; some forty minutes on a machine idle
# otherwise, over half of them for the comparison with diffusers.
# BENCH=--quick shows that all of it runs; benchmarks/interruption.py, which measures no speed, is run by itself
bench: $(STAMP)
	failed=; for script in $(filter-out %/interruption.py %/side_by_side.py,$(wildcard benchmarks/*.py)); do \
	  echo "== $$script"; $(BIN)/python $$script $(BENCH) || failed="$$failed $$script"; done; \
	test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

clean:
	rm -rf _build _sweeps dist

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[baselines,bench,book,parallel,test,video]'
	# two of its samplers are compared with ours; what it asks for, torchvision among it, they do not need
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps azula
	touch $@
