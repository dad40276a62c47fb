// The function as a Worker: nothing is stored.
import { greet } from "greet.mjs";

export default {
  async fetch(request) {
    return Response.json(greet(await request.json()));
  },
};
