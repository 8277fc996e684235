// Draws the API description with Redoc; both come from this origin.
(function () {
  "use strict";
  var place = document.getElementById("redoc");
  window.Redoc.init(place.dataset.spec, {hideDownloadButtons: false, nativeScrollbars: true, disableSearch: false}, place);
})();
