# make book   sets up .venv, runs every notebook, builds the book into _build/html
# make test   sets up .venv, unit tests, nbval on every notebook, tests of the built book
# make pages  builds the pages again, from the chapters as they were executed last
# make pdf    prints the book, building it where it is not up to date, into _build/scorevid.pdf; needs chromium

PYTHON ?= python3
# python -m and not the scripts beside it, whose first line is a path, which may have spaces
BIN := .venv/bin
STAMP := .venv/.stamp
# what is built and tested is the same whatever the user has set up; notebooks see to it themselves as well
unexport MPLBACKEND MATPLOTLIBRC JUPYTER_PATH JUPYTER_CONFIG_PATH IPYTHONDIR
unexport PYTHONSTARTUP PYTHONWARNINGS PYTHONOPTIMIZE PYTHONDEVMODE PYTHONINSPECT PYTHONIOENCODING
export PYTHONUTF8 := 1
# the kernel called python3 is that of .venv, whatever kernels the user has
export JUPYTER_PREFER_ENV_PATH := 1
# threads that wait sleep: spinning, they halve the speed wherever something else runs on the machine
export OMP_WAIT_POLICY := PASSIVE
export PYDEVD_DISABLE_FILE_VALIDATION := 1

# files whose names make could not tell apart, such as a copy with spaces in its name, are not the book's
FILES = $(shell find $(1) -type f -not -path '*/__pycache__/*' -not -path '*/.ipynb_checkpoints/*' | grep -v '[^A-Za-z0-9._/-]')
NOTEBOOKS := $(sort $(filter %.ipynb,$(call FILES,notebooks -not -path 'notebooks/sweeps/*')))
CODE := $(call FILES,scorevid notebooks scripts) constraints.txt
SOURCES := $(call FILES,book $(wildcard benchmarks/results)) _config.yml _toc.yml

.PHONY: book pages pdf test reading unit nbval steady notebooks picture peers sweep motion natural bench lint clean

# the chapters as executed for this build, and what their claims measured, which tables and numbers of the book are made from
EXECUTED := _build/chapters
RAN := $(EXECUTED)/.all
MEASURED := SCOREVID_CLAIMS="$$PWD/_build/claims"
PAGE := _build/html/index.html
# SCOREVID_REPOSITORY=https://github.com/OWNER/NAME adds buttons that open chapters from there on Binder and Colab
# a page that a faulty build leaves would look like a book that is up to date
BUILD := { $(MEASURED) SCOREVID_CHAPTERS="$$PWD/$(EXECUTED)" $(BIN)/python -c \
  'from jupyter_book.cli.main import main; main()' build -n -W --keep-going --builder html . || { rm -f $(PAGE); false; }; }
# each on one thread; a test that hangs is ended, and where it hung is shown
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --durations 12 --timeout 900
# test files and chapters side by side, those first that take longest
AT_ONCE := $(PYTEST) -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
NBVAL := $(AT_ONCE) --nbval-cell-timeout 600 --nbval $(NOTEBOOKS)

book: $(STAMP)
	rm -rf _build
	$(MAKE) $(PAGE)
	@echo "The book is at $(PAGE)"

$(RAN): $(STAMP) $(CODE)
	rm -rf _build
	mkdir -p $(EXECUTED)
	$(MEASURED) OMP_NUM_THREADS=1 $(BIN)/python scripts/run_chapters.py $(NOTEBOOKS) --out $(EXECUTED)
	@touch $@

$(PAGE): $(RAN) $(SOURCES)
	rm -rf _build/html _build/.doctrees _build/jupyter_execute
	$(BUILD)

# the pages alone, after a change of prose outside of chapters, which stay as they were executed
pages: $(STAMP)
	@test -d $(EXECUTED) || { echo "no chapter has been executed yet: make book first" >&2; exit 1; }
	$(BUILD)

pdf: $(STAMP) $(PAGE)
	$(BIN)/python scripts/print_book.py

# make by a variable, so that make --dry-run tests nothing
UP_TO_DATE = $(MAKE) --question $(1) >/dev/null 2>&1
SIDE_BY_SIDE = $(MAKE) --keep-going -j2 $(1)

# nbval runs the chapters, for the book as well, unless they have been run for it already: then it compares what they showed.
# What fails does not keep the rest from being tested
test: $(STAMP)
	@failed=; set -x; \
	if $(call UP_TO_DATE,$(RAN)); then $(NBVAL) --executed $(EXECUTED) || failed=nbval; \
	else rm -rf _build; mkdir -p $(EXECUTED); $(MEASURED) $(NBVAL) --keep-executed $(EXECUTED) && touch $(RAN) || failed=nbval; fi; \
	$(call SIDE_BY_SIDE,unit reading) || failed="$$failed tests"; \
	set +x; test -z "$$failed" || { echo "failed: $$failed" >&2; exit 1; }

# the built book, tested by one process, whose words do not mingle with those of other tests meanwhile
reading: $(STAMP)
	@{ $(call UP_TO_DATE,$(PAGE)) || $(BUILD); failed=$$?; $(PYTEST) tests/book/test_book.py && test $$failed = 0; } \
	  >_build/reading.log 2>&1; failed=$$?; cat _build/reading.log; exit $$failed

unit: $(STAMP)
	$(AT_ONCE) --ignore tests/book/test_book.py

nbval: $(STAMP)
	$(NBVAL)

# as people run them by hand, in one process: with one and two threads, on the instructions of another processor, and again
steady: $(STAMP)
	failed=; for how in "OMP_NUM_THREADS=2" "OMP_NUM_THREADS=1" "OMP_NUM_THREADS=2 ATEN_CPU_CAPABILITY=avx2"; do \
	  echo "== $$how"; env $$how $(BIN)/python -m pytest -q --nbval notebooks/ || failed="$$failed, $$how"; done; \
	test -z "$$failed" || { echo "failed$$failed" >&2; exit 1; }

# run the notebooks in place and keep their outputs, which nbval compares to
notebooks: $(STAMP)
	$(BIN)/python scripts/run_chapters.py $(NOTEBOOKS) --at-once 1 --timeout 1200

# the pictures of the front page and the README, the small ones of its gallery, and the figures of the theory page
picture: $(STAMP)
	$(BIN)/python book/result.py
	$(BIN)/python book/next_frames.py
	$(BIN)/python book/drawings.py

# networks of other parameterisation on one backbone, each trained for the same processor time; an hour
peers: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m scorevid.studies.ablations --folder scorevid/denoisers/weights/peers --out runs/peers \
	  --minutes 14 --only blind edm flow
	OMP_NUM_THREADS=1 $(BIN)/python -m scorevid.studies.ablations --folder scorevid/denoisers/weights/peers --out runs/peers \
	  --minutes 5 --only regression

# the large comparisons behind chapter 3, whose parameters and results are stored in scorevid/studies/results;
# four hours. SWEEP="-p n_scenes 50 -p n_published 50 -p folder $PWD/_sweeps" makes it a small one elsewhere; the path of
# this folder stays one word there, whatever is in it: it is left to a shell that splits nothing
GIVEN = $(if $(findstring '$(CURDIR),$(SWEEP)),$(SWEEP),$(subst $(CURDIR),$$PWD,$(SWEEP)))
PAPERMILL = IFS=; set -f; for name in $(1); do $(BIN)/python -m papermill notebooks/sweeps/$$name.ipynb \
  _sweeps/$$name.ipynb --cwd notebooks/sweeps $(2) $(GIVEN) || exit; done

sweep: $(STAMP)
	mkdir -p _sweeps
	$(call PAPERMILL,training solvers constants slope pairs failures seeds density many memory representations)
	$(BIN)/python scripts/keep_sweeps.py _sweeps notebooks/sweeps

# the methods of chapter 8, each trained for MINUTES of processor time in runs/motion, then the comparison of them; called again
# with more minutes it goes on with the same runs; seven hours and a half
MINUTES = 60
motion: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m scorevid.studies.methods --minutes $(MINUTES)
	mkdir -p _sweeps
	$(call PAPERMILL,motion)
	$(BIN)/python scripts/keep_sweeps.py _sweeps notebooks/sweeps

# what chapters 4 to 6 and supplements 4c, 7b, 8a and 9a show of shots, which do not come along: make natural SHOTS=path; over an hour for
# 26 shots; with LABELS=path, a JSON or .csv file of cameras and motions, supplements 8a and 9a sort them. What supplement 5a
# shows of DAVIS, which does not either: make natural DAVIS=path; five minutes
ABSOLUTE = $(BIN)/python -c 'import os, sys; print(os.path.abspath(sys.argv[1]))'
natural: $(STAMP)
	test -n "$(DAVIS)$(SHOTS)" || { echo "say where the video is: make natural DAVIS=path, a folder or an .npz file," \
	  "or SHOTS=path, an .npz file, a folder or a list of videos" >&2; exit 1; }
	mkdir -p _sweeps
	test -z "$(DAVIS)" || { davis=$$($(ABSOLUTE) "$(DAVIS)") || exit; $(call PAPERMILL,natural,-p davis "$$davis"); }
	test -z "$(SHOTS)" || { shots=$$($(ABSOLUTE) "$(SHOTS)") || exit; \
	  labels=$$(test -z "$(LABELS)" || $(ABSOLUTE) "$(LABELS)") || exit; \
	  $(call PAPERMILL,natural_shots natural_weights surprises natural_memory,-p shots "$$shots"); \
	  $(call PAPERMILL,representations_natural natural_predictions,-p shots "$$shots" -p labels "$$labels"); }

# speed, side by side, stored in benchmarks/results for book/speed.md; some forty minutes on a machine idle
# otherwise, over half of them for the comparison with diffusers.
# BENCH=--quick shows that all of it runs; benchmarks/interruption.py, which measures no speed, is run by itself
bench: $(STAMP)
	failed=; for script in $(filter-out %/interruption.py %/side_by_side.py,$(wildcard benchmarks/*.py)); do \
	  echo "== $$script"; $(BIN)/python $$script $(BENCH) || failed="$$failed $$script"; done; \
	test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

lint: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

clean:
	rm -rf _build _sweeps dist

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[baselines,bench,book,learn,parallel,test,video,web]'
	# two of its samplers are compared with ours; what it asks for, torchvision among it, they do not need
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps azula
	touch $@
