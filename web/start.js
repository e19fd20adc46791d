// Starts a page: `data-entry` of this script's element is the page's module. It is ES5, because it runs before the polyfills.
// FEATURES, POLYFILLS and LOADER are filled in by plain-scripts.ts.
(function () {
  var FIRST_PAUSE_MS = 500;
  var MAX_PAUSE_MS = 30000;
  var script = document.currentScript;
  var started = false;

  function isComplete() {
    try {
      return Boolean(FEATURES);
    } catch (error) {
      return false;
    }
  }

  function load(url, done, pause) {
    var element = document.createElement('script');
    element.src = url;
    element.onload = done;
    element.onerror = function () {
      document.head.removeChild(element);
      setTimeout(load, pause, url, done, Math.min(2 * pause, MAX_PAUSE_MS));
    };
    document.head.appendChild(element);
  }

  // Browsers give requests up when the network changes. A page that waited for such a file would stay dead.
  function retry(prototype) {
    var instantiate = prototype.instantiate;
    prototype.instantiate = function () {
      var loader = this;
      var given = arguments;
      function attempt(pause) {
        return instantiate.apply(loader, given).then(null, function (error) {
          // Number 3 of SystemJS's errors: the file was not loaded.
          if (started || !/#3\b/.test(error.message)) throw error;
          return new Promise(function (resolve) {
            setTimeout(resolve, pause);
          }).then(function () {
            return attempt(Math.min(2 * pause, MAX_PAUSE_MS));
          });
        });
      }
      return attempt(FIRST_PAUSE_MS);
    };
  }

  function start() {
    LOADER;
    retry(System.constructor.prototype);
    System.import(script.getAttribute('data-entry')).then(function () {
      started = true;
    });
  }

  // A page may be called like the path under which a proxy shows the server, and a proxy may remove that path. So the server can't know
  // which of two pages was meant, but the address does.
  function meant() {
    var meta = document.querySelector('meta[name="castway-base"]');
    var base = meta && meta.getAttribute('content');
    if (!base) return null;
    if (location.pathname === base) return base + '/';
    return location.pathname === base + base + '/' ? base + base : null;
  }

  var other = meant();
  if (other) location.replace(other + location.search + location.hash);
  else if (isComplete()) start();
  else load(script.src.replace(/[^/]*$/, POLYFILLS), start, FIRST_PAUSE_MS);
})();
