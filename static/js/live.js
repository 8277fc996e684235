// Shows a stream: the key, or the page's sign-in, is exchanged for a one-use ticket, which opens one WebSocket or event stream.
(function () {
  "use strict";
  var SHOWN = 50;
  var LINE = 600;
  var form = document.getElementById("live");
  var stop = document.getElementById("live-stop");
  var frames = document.getElementById("live-frames");
  var open = null;
  var lines = [];
  var count, lost, last;
  var attempt = 0;

  function put(id, text) { document.getElementById(id).textContent = text; }
  function say(text) { put("live-state", text); }

  function begin() {
    count = 0; lost = 0; last = null; lines = [];
    frames.textContent = "";
    document.getElementById("live-facts").hidden = false;
    put("live-count", "0"); put("live-seq", "–"); put("live-lost", "0");
  }

  function end(text) {
    if (open) { var one = open; open = null; one.close(); }
    stop.disabled = true;
    say(text);
  }

  function show(text) {
    var frame = JSON.parse(text);
    count += 1;
    if (frame.op === "error") { say(frame.detail); }
    if (frame.op === "gap") { lost += frame.to - frame.from + 1; last = frame.to; }
    if (frame.type === "snapshot") { last = frame.seq; }
    if (frame.type === "update") {
      // Another prev_seq than our last seq means loss, and nothing else does.
      if (last !== null && frame.prev_seq !== last) { lost += 1; }
      last = frame.seq;
    }
    lines.unshift(text.length > LINE ? text.slice(0, LINE) + "…" : text);
    lines.length = Math.min(lines.length, SHOWN);
    frames.textContent = lines.join("\n");
    put("live-count", String(count));
    put("live-seq", last === null ? "–" : String(last));
    put("live-lost", String(lost));
  }

  function socket(ticket, channel) {
    var scheme = location.protocol === "https:" ? "wss://" : "ws://";
    var ws = new WebSocket(scheme + location.host + "/v1/ws?ticket=" + encodeURIComponent(ticket));
    ws.onopen = function () {
      say("Connected by WebSocket.");
      ws.send(JSON.stringify({op: "subscribe", channel: channel}));
    };
    ws.onmessage = function (message) { show(message.data); };
    ws.onclose = function (event) {
      if (open === ws) { open = null; end("Closed: " + event.code + (event.reason ? " " + event.reason : "") + "."); }
    };
    return ws;
  }

  function events(ticket, channel) {
    var query = new URLSearchParams({channels: channel, ticket: ticket});
    var source = new EventSource("/v1/sse?" + query);
    source.onopen = function () { say("Connected by server-sent events."); };
    source.onmessage = function (message) { show(message.data); };
    // The ticket is used up: connecting again by itself would only be refused.
    source.onerror = function () { if (open === source) { end("Closed."); } };
    return source;
  }

  form.addEventListener("submit", function (event) {
    event.preventDefault();
    if (open) { end("Not connected."); }
    var key = document.getElementById("live-key").value.trim();
    var channel = document.getElementById("live-channel").value.trim();
    var connect = document.getElementById("live-transport").value === "ws" ? socket : events;
    attempt += 1;
    var mine = attempt;
    begin();
    say("Asking for a ticket …");
    // Without a key the page's own sign-in counts, with the form's token.
    var how = key
      ? {method: "POST", headers: {"X-API-Key": key}, credentials: "omit"}
      : {method: "POST", headers: {"X-CSRFToken": form.elements.csrfmiddlewaretoken.value}, credentials: "same-origin"};
    fetch("/v1/ws/ticket", how)
      .then(function (answer) {
        return answer.json().then(function (body) {
          if (!answer.ok) { throw new Error(body.detail || answer.statusText); }
          // Another click has overtaken this one.
          if (mine !== attempt) { return; }
          open = connect(body.ticket, channel);
          stop.disabled = false;
        });
      })
      .catch(function (error) { if (mine === attempt) { say(error.message); } });
  });
  stop.addEventListener("click", function () { attempt += 1; end("Not connected."); });
})();
