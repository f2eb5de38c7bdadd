// Draws every figure that the server has put on the page as JSON. One place, so that all charts behave alike.
"use strict";
document.querySelectorAll("[data-figure]").forEach((frame) => {
  const figure = JSON.parse(document.getElementById(frame.dataset.figure).textContent);
  Plotly.newPlot(frame, figure.data, figure.layout, { displayModeBar: false, responsive: true, doubleClick: false });
});
