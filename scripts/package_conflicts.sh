# shellcheck shell=bash
# Resolves two conflicts between packages that install into the same folder: urllib3-future replaces urllib3, and
# opencv-python and opencv-python-headless share cv2/.

site_packages() { printf '%s\n' "$ENVIRONMENT"/lib/python3.*/site-packages; }

urllib3_is_replaced() { [[ -e $(site_packages)/urllib3_future.pth ]]; }

cv2_loads() { "$ENVIRONMENT/bin/python" -c 'import cv2'; }

cv2_distributions() { (cd "$(site_packages)" && shopt -s nullglob && echo opencv_python*.dist-info); }

uninstall() { "$ENVIRONMENT/bin/python" -m pip uninstall -qq --yes "$@" 2>&1 | mask >&2; }

# A `poetry install` without URLLIB3_NO_OVERRIDE leaves a .pth file that puts urllib3-future in urllib3's place.
restore_urllib3() {
  local packages
  urllib3_is_replaced || return 0
  packages=$(site_packages)
  rm "$packages/urllib3_future.pth"
  uninstall urllib3
  rm -rf "$packages/urllib3"
  poetry_install "$1"
}

# opencv-python needs libGL and more, which many containers lack; the headless package is the same cv2 without windows.
# Where both are installed, or both were, neither is complete.
choose_cv2() {
  local error
  if [[ $(cv2_distributions) != *' '* ]]; then
    error=$(cv2_loads 2>&1) && return
    error=${error##*$'\n'}
    [[ $error == *.so* ]] ||
      die "OpenCV in $ENVIRONMENT cannot be loaded: $error. Delete that folder and run this again"
    say "OpenCV cannot be loaded (${error#*Error: }); installing opencv-python-headless instead"
  fi
  uninstall opencv-python opencv-python-headless
  poetry_install headless --no-root
  cv2_loads || die 'opencv-python-headless cannot be loaded either; install the library named in the line above'
}
