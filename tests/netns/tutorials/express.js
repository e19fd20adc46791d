// The part of express that the pasted script uses.
const { createServer } = require('node:http');

module.exports = () => {
  const routes = {};
  const answer = (request, response) => {
    const url = new URL(request.url, 'http://here');
    request.query = Object.fromEntries(url.searchParams);
    response.send = (body) => response.end(JSON.stringify(body));
    routes[url.pathname](request, response);
  };
  return { get: (path, handler) => (routes[path] = handler), listen: (port, ready) => createServer(answer).listen(port, ready) };
};
